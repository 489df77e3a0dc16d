using System.Collections.Immutable;
using System.Diagnostics;

namespace DistTune.Engine;

/// <summary>Where a run stands.</summary>
public enum RunState
{
    /// <summary>Waiting for enough workers.</summary>
    Registering,

    /// <summary>Groups are being leased.</summary>
    Running,

    /// <summary>All steps are taken.</summary>
    Finished,

    /// <summary>It cannot go on; <see cref="TrainingRun.Failure"/> says why.</summary>
    Failed,
}

/// <summary>The groups that may be leased now.</summary>
/// <param name="Kind">Training or measuring.</param>
/// <param name="Step">The step.</param>
/// <param name="AdapterSha256">The adapter version they are computed with.</param>
/// <param name="Groups">All groups.</param>
/// <param name="Done">The accepted results.</param>
public sealed record OpenStage(
    StageKind Kind,
    int Step,
    string AdapterSha256,
    ImmutableArray<GroupKey> Groups,
    ImmutableDictionary<GroupKey, GroupDone> Done)
{
    /// <summary>Whether every group has its result.</summary>
    public bool Complete => Done.Count == Groups.Length;

    /// <summary>The results in plan order; only for a complete stage.</summary>
    public IEnumerable<GroupDone> Results => Groups.Select(group => Done[group]);
}

/// <summary>
/// A run as the fold of its records. Immutable and pure: the same records give the same state, whoever applies them, so that a run
/// can be recovered, simulated and inspected from its journal alone. What to do next is <see cref="RunDecision"/>'s matter, doing it
/// <see cref="RunExecution"/>'s.
/// </summary>
public sealed record TrainingRun
{
    /// <summary>The state before the first record.</summary>
    public static TrainingRun Empty { get; } = new();

    /// <summary>The run's identity; empty before it is opened.</summary>
    public string RunId { get; private init; } = string.Empty;

    /// <summary>Where the run stands.</summary>
    public RunState State { get; private init; } = RunState.Registering;

    /// <summary>The coordinator's term; messages of a lower one are refused.</summary>
    public long Term { get; private init; }

    /// <summary>The current adapter version.</summary>
    public string AdapterSha256 { get; private init; } = string.Empty;

    /// <summary>The groups being leased, if any.</summary>
    public OpenStage? Stage { get; private init; }

    /// <summary>The optimizer steps taken, in order.</summary>
    public ImmutableList<StepCommitted> Steps { get; private init; } = [];

    /// <summary>The measurements taken, in order.</summary>
    public ImmutableList<MeasurementClosed> Measurements { get; private init; } = [];

    /// <summary>Tokens with loss in all steps taken.</summary>
    public long TrainedTokens { get; private init; }

    /// <summary>Tokens computed in all steps taken.</summary>
    public long TotalTokens { get; private init; }

    /// <summary>The last step's groups with their results: until its summed gradient is kept, they are what it can be taken again from.</summary>
    public OpenStage? LastTaken { get; private init; }

    /// <summary>Why the run failed, or null.</summary>
    public string? Failure { get; private init; }

    /// <summary>Whether nothing more will happen.</summary>
    public bool Ended => State is RunState.Finished or RunState.Failed;

    /// <summary>Whether the adapter as it stands has been measured.</summary>
    public bool Measured => Measurements is [.., var last] && last.Step == Steps.Count;

    /// <summary>What the run was opened with; null before it is opened.</summary>
    public RunOpened? Opened { get; private init; }

    /// <summary>What the canary of every worker must come to; null until the first one has joined.</summary>
    public CanarySet? Canary { get; private init; }

    /// <summary>Groups of the open stage that had two results; a third worker decides.</summary>
    public ImmutableDictionary<GroupKey, DeterminismViolated> Disputes { get; private init; } = ImmutableDictionary<GroupKey, DeterminismViolated>.Empty;

    /// <summary>The disputes that no third worker has decided yet.</summary>
    public IEnumerable<DeterminismViolated> Undecided => Stage is { } stage
        ? stage.Groups.Where(group => Disputes.ContainsKey(group) && !stage.Done.ContainsKey(group)).Select(group => Disputes[group])
        : [];

    /// <summary>Groups of the open stage whose last result was not finite.</summary>
    public ImmutableDictionary<GroupKey, NonFiniteFound> NonFinite { get; private init; } = ImmutableDictionary<GroupKey, NonFiniteFound>.Empty;

    /// <summary>Names of the workers whose results are taken no more.</summary>
    public ImmutableHashSet<string> Quarantined { get; private init; } = ImmutableHashSet.Create<string>(StringComparer.Ordinal);

    /// <summary>The snapshot that somebody named to go on from, or null.</summary>
    public string? RestoredFrom { get; private init; }

    /// <summary>Steps taken when the last snapshot was; 0 if there is none.</summary>
    public int LastSnapshot { get; private init; }

    /// <summary>The state after a record.</summary>
    /// <exception cref="UnreachableException">The record does not follow from this state: the journal is not one run's history.</exception>
    public TrainingRun Apply(RunRecord record) => record switch
    {
        RunOpened opened when RunId.Length == 0 => this with { RunId = opened.RunId, AdapterSha256 = opened.AdapterSha256, Opened = opened },

        // Whoever takes over a run that had failed tries again from where it stands.
        TermBegun term when term.Term > Term && State == RunState.Failed => this with { Term = term.Term, State = RunState.Registering, Failure = null },
        TermBegun term when term.Term > Term => this with { Term = term.Term },
        CanarySet canary when Canary is null && !Ended => this with { Canary = canary },
        StageOpened opened when Stage is null && !Ended && opened.AdapterSha256 == AdapterSha256 && opened.Step == Steps.Count => this with
        {
            State = RunState.Running,
            Stage = new OpenStage(opened.Kind, opened.Step, opened.AdapterSha256, opened.Groups, ImmutableDictionary<GroupKey, GroupDone>.Empty),
        },
        GroupDone done when Stage is { } stage && !Ended && stage.Groups.Contains(done.Group) => this with
        {
            Stage = stage with { Done = stage.Done.Add(done.Group, done) },
        },
        GroupReopened reopened when Stage is { } stage && !Ended && stage.Done.ContainsKey(reopened.Group) => this with
        {
            Stage = stage with { Done = stage.Done.Remove(reopened.Group) },
        },
        StepCommitted committed when Stage is { Kind: StageKind.Train, Complete: true } stage && stage.Step == committed.Step => this with
        {
            Stage = null,
            LastTaken = stage,
            AdapterSha256 = committed.AdapterSha256,
            Disputes = Disputes.Clear(),
            NonFinite = NonFinite.Clear(),
            Steps = Steps.Add(committed),
            TrainedTokens = TrainedTokens + committed.TrainedTokens,
            TotalTokens = TotalTokens + committed.TotalTokens,
        },
        MeasurementClosed closed when Stage is null or { Kind: StageKind.Measure, Complete: true } && closed.Step == Steps.Count && !Measured => this with
        {
            Stage = null,
            Disputes = Disputes.Clear(),
            NonFinite = NonFinite.Clear(),
            Measurements = Measurements.Add(closed),
        },
        DeterminismViolated violated when !Ended => this with { Disputes = Disputes.SetItem(violated.Group, violated) },
        WorkerQuarantined quarantined when !Ended => this with { Quarantined = Quarantined.Add(quarantined.Worker) },
        NonFiniteFound found when !Ended => this with { NonFinite = NonFinite.SetItem(found.Group, found) },
        SnapshotTaken snapshot when snapshot.Step <= Steps.Count => this with { LastSnapshot = snapshot.Step },
        RunRestored restored when Opened is not null && IsPrefix(restored) => Restore(restored),
        RunFinished finished when Stage is null && !Ended && finished.AdapterSha256 == AdapterSha256 => this with { State = RunState.Finished },
        RunFailed failed when !Ended => this with { State = RunState.Failed, Stage = null, Disputes = Disputes.Clear(), NonFinite = NonFinite.Clear(), Failure = failed.Reason },
        _ => throw new UnreachableException($"{record} does not follow from a run that is {State} at step {Steps.Count}."),
    };

    private static bool IsPrefix(RunRestored restored) =>
        !restored.Steps.Where((step, index) => step.Step != index).Any() && !restored.Measurements.Any(measurement => measurement.Step > restored.Steps.Length);

    private TrainingRun Restore(RunRestored restored) => Empty with
    {
        RunId = RunId,
        Opened = Opened,
        Term = Term,
        Quarantined = Quarantined,
        Canary = Canary,
        AdapterSha256 = restored.Steps is [.., var last] ? last.AdapterSha256 : Opened!.AdapterSha256,
        Steps = [.. restored.Steps],
        Measurements = [.. restored.Measurements],
        TrainedTokens = restored.Steps.Sum(step => step.TrainedTokens),
        TotalTokens = restored.Steps.Sum(step => step.TotalTokens),
        LastSnapshot = restored.Steps.Length,
        RestoredFrom = restored.Source,
    };
}
