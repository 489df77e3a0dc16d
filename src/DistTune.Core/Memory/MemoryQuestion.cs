using System.Collections.Immutable;
using DistTune.Core.Models;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Memory;

/// <summary>The largest micro-batch that a worker will meet.</summary>
/// <param name="Tokens">T, tokens of all its rows.</param>
/// <param name="PredictingTokens">R, tokens that predict a trained one.</param>
/// <param name="LongestRow">Tokens of its longest row.</param>
public sealed record BatchSize(long Tokens, long PredictingTokens, long LongestRow)
{
    /// <summary>What a run's steps hold at most; a bound where the largest numbers are of different micro-batches.</summary>
    public static BatchSize LargestOf(RunPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return Largest(Enumerable.Range(0, plan.Steps).SelectMany(step => plan.Groups.TrainingGroups(step))) ?? new BatchSize(1, 1, 1);
    }

    /// <summary>With so many rows at most.</summary>
    internal BatchSize WithRows(long rows) => Within(Math.Min(Tokens, rows * LongestRow), LongestRow);

    /// <summary>With rows of so many tokens at most.</summary>
    internal BatchSize WithLength(long length) => length >= LongestRow ? this : Within((long)(Tokens * ((double)length / LongestRow)), length);

    private BatchSize Within(long tokens, long longest) => new(tokens, Math.Min(tokens, PredictingTokens), longest);

    /// <summary>The largest numbers of some groups' micro-batches; null if there are none.</summary>
    internal static BatchSize? Largest(IEnumerable<GroupSpec> groups)
    {
        BatchSize? largest = null;
        foreach (var batch in groups.SelectMany(group => group.MicroBatches))
        {
            largest = new BatchSize(
                Math.Max(largest?.Tokens ?? 1, batch.Segments.Sum(segment => (long)segment.TokenIds.Length)),
                Math.Max(largest?.PredictingTokens ?? 1, batch.Segments.Sum(segment => (long)segment.TrainedTokens)),
                Math.Max(largest?.LongestRow ?? 1, batch.Segments.Max(segment => segment.TokenIds.Length)));
        }

        return largest;
    }
}

/// <summary>The most that a worker answers together.</summary>
/// <param name="Sequences">Prompts that advance together.</param>
/// <param name="PromptTokens">Tokens of these prompts.</param>
/// <param name="LongestPrompt">Tokens of the longest.</param>
/// <param name="LongestRow">Tokens of the longest with its answer.</param>
public sealed record GenerationSize(long Sequences, long PromptTokens, long LongestPrompt, long LongestRow)
{
    /// <summary>What a run's samples hold at most; null if it answers nothing.</summary>
    public static GenerationSize? LargestOf(RunPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        GenerationSize? largest = null;
        foreach (var group in plan.Groups.GenerationGroups(0))
        {
            foreach (var prompts in group.MicroBatches.Select(batch => batch.Segments))
            {
                var longest = prompts.Max(prompt => prompt.TokenIds.Length);
                largest = new GenerationSize(
                    Math.Max(largest?.Sequences ?? 0, prompts.Length),
                    Math.Max(largest?.PromptTokens ?? 0, prompts.Sum(prompt => (long)prompt.TokenIds.Length)),
                    Math.Max(largest?.LongestPrompt ?? 0, longest),
                    Math.Max(largest?.LongestRow ?? 0, longest + (group.Generation?.MaxNewTokens ?? 0)));
            }
        }

        return largest;
    }
}

/// <summary>All that memory depends on.</summary>
/// <param name="Spec">The base.</param>
/// <param name="Layout">The trained tensors.</param>
/// <param name="Batch">The largest micro-batch.</param>
public sealed record MemoryQuestion(DecoderSpec Spec, ParameterLayout Layout, BatchSize Batch)
{
    /// <summary>Whether every weight of the base is trained, so that none is frozen.</summary>
    public bool TrainsAllWeights { get; init; }

    /// <summary>Whether the frozen base is held in bfloat16.</summary>
    public bool BaseInBFloat16 { get; init; }

    /// <summary>How the layers' linear modules are held in four bits.</summary>
    public FourBitSettings? Quantization { get; init; }

    /// <summary>Whether layers are computed again in backward.</summary>
    public bool GradientCheckpointing { get; init; }

    /// <summary>Whether inputs of adapters are dropped.</summary>
    public bool Dropout { get; init; }

    /// <summary>The largest micro-batch of held-out rows; null if nothing is held out.</summary>
    public BatchSize? Evaluation { get; init; }

    /// <summary>The most that is answered together; null if nothing is.</summary>
    public GenerationSize? Generation { get; init; }

    /// <summary>Groups of a step.</summary>
    public int GroupsPerStep { get; init; } = 1;

    /// <summary>Workers that share this process and one copy of the base.</summary>
    public int Workers { get; init; } = 1;

    /// <summary>Groups that each of them computes at the same time.</summary>
    public int Lanes { get; init; } = 1;

    /// <summary>Whose moments the coordinator holds.</summary>
    public OptimizerSettings Optimizer { get; init; } = new();

    /// <summary>Whether the coordinator lives in the process.</summary>
    public bool WithCoordinator { get; init; }

    /// <summary>Whether the workers live in the process; a coordinator without them holds neither base nor activations.</summary>
    public bool WithWorkers { get; init; } = true;

    /// <summary>The same run with each of its processes apart: what one worker asks.</summary>
    public MemoryQuestion OfWorker => this with { Workers = 1, WithWorkers = true, WithCoordinator = false };

    /// <summary>The same run with each of its processes apart: what the coordinator asks.</summary>
    public MemoryQuestion OfCoordinator => this with { WithWorkers = false, WithCoordinator = true };

    /// <summary>The question that a run asks of one process.</summary>
    public static MemoryQuestion Of(DecoderSpec spec, RunPlan plan, int workers, int lanes, bool withCoordinator)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return new MemoryQuestion(spec, plan.Layout, BatchSize.LargestOf(plan))
        {
            TrainsAllWeights = plan.Adapter.Kind == AdapterKind.Full,
            BaseInBFloat16 = plan.BaseInBFloat16,
            Quantization = plan.Quantization,
            GradientCheckpointing = plan.GradientCheckpointing,
            Optimizer = plan.Optimizer,
            Dropout = plan.Adapter.Dropout > 0,
            Evaluation = BatchSize.Largest(plan.Groups.EvaluationGroups(0)),
            Generation = GenerationSize.LargestOf(plan),
            GroupsPerStep = plan.Groups.TrainingGroups(0).Length,
            Workers = workers,
            Lanes = lanes,
            WithCoordinator = withCoordinator,
        };
    }
}

/// <summary>One part of the memory.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Bytes">How much.</param>
/// <param name="Why">What it follows from.</param>
public sealed record MemoryPart(string Name, long Bytes, string Why);

/// <summary>A prediction of a process' peak.</summary>
/// <param name="Parts">Its parts.</param>
public sealed record MemoryPrediction(ImmutableArray<MemoryPart> Parts)
{
    /// <summary>All parts together.</summary>
    public long Bytes => Parts.Sum(part => part.Bytes);
}
