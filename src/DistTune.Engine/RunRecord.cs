using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>
/// One fact of a run's history. The state of a run is the fold of its records (<see cref="TrainingRun.Apply"/>); nothing that is not
/// in a record survives a restart. Leases are not recorded: they serve liveness, not safety.
/// </summary>
public abstract record RunRecord;

/// <summary>The run exists.</summary>
/// <param name="RunId">The run's identity.</param>
/// <param name="Hashes">What the result depends on.</param>
/// <param name="AdapterSha256">The adapter it starts from.</param>
public sealed record RunOpened(string RunId, RunHashes Hashes, string AdapterSha256) : RunRecord
{
    /// <summary>The configuration's fields that can change the result, so that a refusal can name the one that differs.</summary>
    public ImmutableArray<KeyValuePair<string, string>> Settings { get; init; } = [];

    /// <summary>Which launch opened it; a process that is started again within the same launch goes on, whatever it was told at first.</summary>
    public string Launch { get; init; } = string.Empty;
}

/// <summary>A coordinator took the run over. Messages of a lower term are refused.</summary>
public sealed record TermBegun(long Term) : RunRecord;

/// <summary>The run's first worker has shown what its canary comes to (<see cref="Canary"/>); nobody joins who comes to another.</summary>
/// <param name="Digest">SHA-256 of the result.</param>
/// <param name="Worker">Who computed it.</param>
/// <param name="InstructionSet">On what.</param>
/// <param name="ComputeLibrary">With what.</param>
public sealed record CanarySet(string Digest, string Worker, string InstructionSet, string ComputeLibrary) : RunRecord;

/// <summary>What a stage is for.</summary>
public enum StageKind
{
    /// <summary>The groups of one optimizer step.</summary>
    Train,

    /// <summary>Evaluation and sample generation with the adapter as it stands before a step.</summary>
    Measure,
}

/// <summary>A set of groups may be leased, all of them against one adapter version.</summary>
/// <param name="Kind">Training or measuring.</param>
/// <param name="Step">The step that is trained, or before which is measured.</param>
/// <param name="AdapterSha256">The adapter version the groups are computed with.</param>
/// <param name="Groups">The groups, in the order they are handed out.</param>
public sealed record StageOpened(StageKind Kind, int Step, string AdapterSha256, ImmutableArray<GroupKey> Groups) : RunRecord;

/// <summary>The first valid result of a group was accepted.</summary>
/// <param name="Group">The group.</param>
/// <param name="Attempt">Which attempt it was.</param>
/// <param name="Worker">Who computed it.</param>
/// <param name="Digest">SHA-256 of everything in the result that must reproduce (<see cref="ResultDigest"/>).</param>
/// <param name="Outcome">Sums, counts and continuations.</param>
public sealed record GroupDone(GroupKey Group, int Attempt, string Worker, string Digest, GroupOutcome Outcome) : RunRecord
{
    /// <summary>Where the gradient is spooled; null for groups without one and for runs that keep nothing.</summary>
    public SpoolPlace? Spool { get; init; }

    /// <summary>Whether the group is left out of its step, because its result is not finite wherever it is computed.</summary>
    public bool Skipped { get; init; }
}

/// <summary>Where a group's gradient lies until its step is committed.</summary>
/// <param name="Term">The term whose spool file it is.</param>
/// <param name="Offset">First byte.</param>
public readonly record struct SpoolPlace(long Term, long Offset);

/// <summary>An accepted result is not used after all: what was spooled of it cannot be read, or its worker lied.</summary>
public sealed record GroupReopened(GroupKey Group, string Reason) : RunRecord;

/// <summary>A second result of a group differed from the first: one of two workers does not compute what the plan says.</summary>
public sealed record DeterminismViolated(GroupKey Group, string FirstWorker, string FirstDigest, string SecondWorker, string SecondDigest) : RunRecord;

/// <summary>An optimizer step was taken.</summary>
/// <param name="Step">The step.</param>
/// <param name="GradientSha256">The reduced gradient, before the division.</param>
/// <param name="AdapterSha256">The adapter after the step.</param>
/// <param name="OptimizerSha256">The optimizer's moments after the step.</param>
/// <param name="Loss">Mean loss over the step's trained tokens, in nats.</param>
/// <param name="GradientNorm">Global norm before clipping.</param>
/// <param name="LearningRate">The rate the step was taken with.</param>
/// <param name="TrainedTokens">Tokens that carried loss.</param>
/// <param name="TotalTokens">Tokens computed.</param>
public sealed record StepCommitted(
    int Step,
    string GradientSha256,
    string AdapterSha256,
    string OptimizerSha256,
    double Loss,
    double GradientNorm,
    double LearningRate,
    long TrainedTokens,
    long TotalTokens) : RunRecord;

/// <summary>Evaluation and generation before a step (or after the last) are complete.</summary>
/// <param name="Step">Optimizer steps taken so far.</param>
/// <param name="Loss">Mean loss over the held-out trained tokens, or null if nothing is held out.</param>
/// <param name="TrainedTokens">Held-out tokens that carry loss.</param>
/// <param name="Continuations">The new tokens of every prompt, in plan order.</param>
public sealed record MeasurementClosed(int Step, double? Loss, long TrainedTokens, ImmutableArray<ImmutableArray<int>> Continuations) : RunRecord;

/// <summary>Every step is taken and measured.</summary>
public sealed record RunFinished(string AdapterSha256) : RunRecord;

/// <summary>The run cannot go on.</summary>
/// <param name="Reason">Names the step, the group and the worker where they are known.</param>
public sealed record RunFailed(string Reason) : RunRecord;

/// <summary>Adapter and optimizer are kept as they were after a number of steps.</summary>
/// <param name="Step">Optimizer steps taken.</param>
/// <param name="ManifestSha256">SHA-256 of the snapshot's manifest, which has the hashes of its files.</param>
public sealed record SnapshotTaken(int Step, string ManifestSha256) : RunRecord;

/// <summary>The run goes on from a snapshot that somebody named; what the journal says of later steps counts no more.</summary>
/// <param name="Source">The snapshot's folder.</param>
/// <param name="Steps">The steps up to it.</param>
/// <param name="Measurements">The measurements up to it.</param>
public sealed record RunRestored(string Source, ImmutableArray<StepCommitted> Steps, ImmutableArray<MeasurementClosed> Measurements) : RunRecord;

/// <summary>A worker's results are taken no more: it lied, or sent what cannot be right again and again.</summary>
public sealed record WorkerQuarantined(string Worker, string Reason) : RunRecord;

/// <summary>A result was NaN or infinite; the group is computed again, elsewhere if there is another worker.</summary>
/// <param name="Group">The group.</param>
/// <param name="Worker">Who computed it.</param>
/// <param name="Digest">The result's digest: the same bits a second time mean that it is the group, not the worker.</param>
/// <param name="What">What was not finite.</param>
public sealed record NonFiniteFound(GroupKey Group, string Worker, string Digest, string What) : RunRecord;
