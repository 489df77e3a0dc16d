using System.Diagnostics;

namespace DistTune.Engine;

/// <summary>The Engine's spans and instruments, by the names a host subscribes to.</summary>
public static class EngineTelemetry
{
    /// <summary>Name of the activity source: <c>train step</c>, <c>reduce</c>, <c>optimizer step</c>, <c>evaluate</c>.</summary>
    public const string ActivitySourceName = "DistTune.Engine";

    /// <summary>Name of the meter.</summary>
    public const string MeterName = "DistTune.Engine";

    internal static readonly ActivitySource Spans = new(ActivitySourceName);

    /// <summary>Starts a root span that outlives the calling context: it is not left behind as the current one.</summary>
    internal static Activity? StartRoot(string name, string runId, int step)
    {
        var outer = Activity.Current;
        Activity.Current = null;
        var span = Spans.StartActivity(name, ActivityKind.Internal, default(ActivityContext));
        span?.SetTag("run", runId).SetTag("step", step);
        Activity.Current = outer;
        return span;
    }

    /// <summary>Records a child span whose time has already passed.</summary>
    internal static void Record(string name, Activity? parent, DateTimeOffset end, TimeSpan duration)
    {
        if (parent is null)
        {
            return;
        }

        using var span = Spans.StartActivity(name, ActivityKind.Internal, parent.Context, startTime: end - duration);
        span?.SetEndTime(end.UtcDateTime);
    }
}
