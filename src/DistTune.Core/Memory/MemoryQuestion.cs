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
        var largest = new BatchSize(1, 1, 1);
        for (var step = 0; step < plan.Steps; step++)
        {
            foreach (var batch in plan.Groups.TrainingGroups(step).SelectMany(group => group.MicroBatches))
            {
                largest = new BatchSize(
                    Math.Max(largest.Tokens, batch.Segments.Sum(segment => (long)segment.TokenIds.Length)),
                    Math.Max(largest.PredictingTokens, batch.Segments.Sum(segment => (long)segment.TrainedTokens)),
                    Math.Max(largest.LongestRow, batch.Segments.Max(segment => segment.TokenIds.Length)));
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

    /// <summary>Groups of a step.</summary>
    public int GroupsPerStep { get; init; } = 1;

    /// <summary>Workers that share this process and one copy of the base.</summary>
    public int Workers { get; init; } = 1;

    /// <summary>Groups that each of them computes at the same time.</summary>
    public int Lanes { get; init; } = 1;

    /// <summary>Whose moments the coordinator holds.</summary>
    public OptimizerSettings Optimizer { get; init; } = new();

    /// <summary>Whether the coordinator lives in the same process.</summary>
    public bool WithCoordinator { get; init; }

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
