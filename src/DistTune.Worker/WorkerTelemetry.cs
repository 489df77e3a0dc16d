using System.Diagnostics;
using DistTune.Engine;

namespace DistTune.Worker;

/// <summary>The worker's spans: children of the step's root span in the coordinator.</summary>
internal static class WorkerTelemetry
{
    private static readonly ActivitySource Spans = new("DistTune.Worker");

    /// <summary>Starts a span of a grant.</summary>
    /// <param name="name">Name of the phase.</param>
    /// <param name="traceParent">W3C trace context from the grant; empty starts nothing.</param>
    /// <param name="grant">The grant.</param>
    /// <param name="rank">The worker's rank.</param>
    public static Activity? Start(string name, string traceParent, GrantReference grant, int rank)
    {
        if (!ActivityContext.TryParse(traceParent, null, isRemote: true, out var parent))
        {
            return null;
        }

        return Spans.StartActivity(name, ActivityKind.Internal, parent)?
            .SetTag("rank", rank)
            .SetTag("step", grant.Group.Step)
            .SetTag("group", grant.Group.Index)
            .SetTag("kind", grant.Group.Kind.ToString().ToLowerInvariant())
            .SetTag("attempt", grant.Attempt);
    }
}
