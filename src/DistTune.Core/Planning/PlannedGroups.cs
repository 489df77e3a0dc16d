using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>The groups of a run over rows in memory. Pure: asking twice, in any order, from any thread, gives the same groups.</summary>
public sealed class PlannedGroups : IGroupSource
{
    /// <summary>Prompts of one generation group.</summary>
    internal const int PromptsPerGroup = 4;

    private readonly string _runId;
    private readonly StepPlan _plan;
    private readonly ImmutableArray<PlannedSample> _training;
    private readonly ImmutableArray<MicroBatch> _evaluation;
    private readonly ImmutableArray<MicroBatch> _generation;
    private readonly GenerationSettings _settings;

    /// <summary>Cuts the held-out rows and the prompts into groups once; training groups are made when asked for.</summary>
    /// <param name="runId">The run.</param>
    /// <param name="plan">Which rows a step computes.</param>
    /// <param name="training">The training rows, as many as the plan has.</param>
    /// <param name="evaluation">The held-out rows; may be empty.</param>
    /// <param name="prompts">The prompts; may be empty.</param>
    /// <param name="generation">How prompts are continued.</param>
    public PlannedGroups(
        string runId,
        StepPlan plan,
        ImmutableArray<PlannedSample> training,
        ImmutableArray<PlannedSample> evaluation,
        ImmutableArray<PlannedPrompt> prompts,
        GenerationSettings generation)
    {
        ArgumentNullException.ThrowIfNull(plan);
        if (training.Length != plan.Rows)
        {
            throw new ArgumentException($"The plan is for {plan.Rows} rows, got {training.Length}.", nameof(training));
        }

        _runId = runId;
        _plan = plan;
        _training = training;
        _settings = generation;
        _evaluation = Batches(evaluation.Select((sample, index) => sample.ToSegment(index)), plan.MicroBatchSize);
        _generation = Batches(prompts.Select((prompt, index) => new Segment(prompt.TokenIds, [], index)), PromptsPerGroup);
    }

    /// <inheritdoc />
    public ImmutableArray<GroupSpec> TrainingGroups(int step)
    {
        var groups = _plan.RowsOf(step);
        return Groups(step, GroupKind.Train, [.. groups.Select(rows => new MicroBatch([.. rows.Select(row => _training[row].ToSegment(row))]))]);
    }

    /// <inheritdoc />
    public ImmutableArray<GroupSpec> EvaluationGroups(int step) => Groups(step, GroupKind.Evaluate, _evaluation);

    /// <inheritdoc />
    public ImmutableArray<GroupSpec> GenerationGroups(int step) => Groups(step, GroupKind.Generate, _generation);

    private ImmutableArray<GroupSpec> Groups(int step, GroupKind kind, ImmutableArray<MicroBatch> batches) =>
        [.. batches.Select((batch, index) => new GroupSpec(_runId, step, index, kind, [batch], kind is GroupKind.Generate ? _settings : null))];

    private static ImmutableArray<MicroBatch> Batches(IEnumerable<Segment> segments, int size) =>
        [.. segments.Chunk(size).Select(chunk => new MicroBatch([.. chunk]))];
}
