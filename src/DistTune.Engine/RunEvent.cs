using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>Something a user may want to see of a run. Observers never change what the run does.</summary>
/// <param name="RunId">The run.</param>
public abstract record RunEvent(string RunId);

/// <summary>The first groups are about to be handed out.</summary>
public sealed record RunStarted(string RunId, int Steps, int StepsPerEpoch, int Workers, long Parameters) : RunEvent(RunId)
{
    /// <summary>Steps that were taken before this process began; null if the run starts with it.</summary>
    public int? ResumedAt { get; init; }
}

/// <summary>One group's share of a step.</summary>
/// <param name="Worker">Who computed it.</param>
/// <param name="Rank">The worker's rank.</param>
/// <param name="TrainedTokens">Tokens with loss.</param>
/// <param name="TotalTokens">All tokens.</param>
/// <param name="Seconds">From grant to accepted result.</param>
/// <param name="Timings">Where the worker's time went.</param>
public sealed record GroupReport(string Worker, int Rank, long TrainedTokens, long TotalTokens, double Seconds, GroupTimings Timings);

/// <summary>An optimizer step was taken.</summary>
/// <param name="RunId">The run.</param>
/// <param name="Record">Loss, norm, rate, tokens and hashes.</param>
/// <param name="Steps">Steps of the whole run.</param>
/// <param name="Epoch">Epochs behind, as a fraction.</param>
/// <param name="TrainedTokensSoFar">Tokens with loss since the run began.</param>
/// <param name="TotalTokensSoFar">All tokens since the run began.</param>
/// <param name="Workers">Workers registered.</param>
/// <param name="StepSeconds">Wall time of the step.</param>
/// <param name="ElapsedSeconds">Wall time since the run started.</param>
/// <param name="ReduceSeconds">Time spent adding gradients.</param>
/// <param name="OptimizerSeconds">Time of division, norm, clip, optimizer and hashes.</param>
/// <param name="Groups">The groups that this process took, in plan order.</param>
public sealed record StepFinished(
    string RunId,
    StepCommitted Record,
    int Steps,
    double Epoch,
    long TrainedTokensSoFar,
    long TotalTokensSoFar,
    int Workers,
    double StepSeconds,
    double ElapsedSeconds,
    double ReduceSeconds,
    double OptimizerSeconds,
    ImmutableArray<GroupReport> Groups) : RunEvent(RunId)
{
    /// <summary>Steps that were taken before this process began.</summary>
    public int ResumedAt { get; init; }

    /// <summary>Time of the step that went into hashes and flushed writes here: what the slowest worker's lanes waited for, and the commit's.</summary>
    public double DurabilitySeconds { get; init; }
}

/// <summary>The adapter was measured.</summary>
/// <param name="RunId">The run.</param>
/// <param name="Record">Loss and continuations.</param>
/// <param name="Seconds">Wall time of the measurement.</param>
public sealed record MeasurementFinished(string RunId, MeasurementClosed Record, double Seconds) : RunEvent(RunId);

/// <summary>A worker registered.</summary>
public sealed record WorkerJoined(string RunId, string Worker, int Rank, int Slots, int Workers) : RunEvent(RunId);

/// <summary>A worker left or was lost; its groups are given out again.</summary>
public sealed record WorkerLeft(string RunId, string Worker, int Rank, string Reason, int GroupsRequeued, int Workers) : RunEvent(RunId);

/// <summary>A group is given out again, or to a second worker.</summary>
public sealed record GroupReleased(string RunId, GroupKey Group, string Worker, string Reason) : RunEvent(RunId);

/// <summary>Two workers disagree about a group, and there is no third one to decide: the run waits for it, the other groups go on.</summary>
/// <param name="RunId">The run.</param>
/// <param name="Group">The group.</param>
/// <param name="First">The worker of the first result.</param>
/// <param name="Second">The worker of the second.</param>
/// <param name="Patience">How long the run waits before it fails.</param>
public sealed record DisputeWaits(string RunId, GroupKey Group, string First, string Second, TimeSpan Patience) : RunEvent(RunId);

/// <summary>A result was not taken.</summary>
public sealed record ResultRefused(string RunId, GroupKey Group, string Worker, SubmitVerdict Verdict) : RunEvent(RunId);

/// <summary>The run is over.</summary>
/// <param name="RunId">The run.</param>
/// <param name="State">Finished or failed.</param>
/// <param name="AdapterSha256">The last adapter.</param>
/// <param name="Failure">Why it failed, or null.</param>
public sealed record RunEnded(string RunId, RunState State, string AdapterSha256, string? Failure) : RunEvent(RunId);

/// <summary>Sees what happens: the progress line, metrics, <c>metrics.jsonl</c>. Called on the run's threads; must be quick and not throw.</summary>
public interface IRunObserver
{
    /// <summary>Takes an event. Events of one run never overlap.</summary>
    void Observe(RunEvent runEvent);
}

/// <summary>Passes events on to several observers, in order.</summary>
public sealed class CompositeRunObserver(params IReadOnlyList<IRunObserver> observers) : IRunObserver
{
    /// <inheritdoc />
    public void Observe(RunEvent runEvent)
    {
        foreach (var observer in observers)
        {
            observer.Observe(runEvent);
        }
    }
}
