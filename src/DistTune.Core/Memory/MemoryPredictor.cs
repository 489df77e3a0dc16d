using System.Globalization;
using System.Numerics;
using DistTune.Core.Models;
using DistTune.Core.Optimization;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Memory;

/// <summary>
/// Predicts the peak memory of a run from its plan: what is held all along, and what is alive at the most expensive moments of a
/// micro-batch. It counts the tensors that the passes make, so it changes with them; a test compares it with what is measured.
/// </summary>
public static class MemoryPredictor
{
    private const long Single = sizeof(float);

    // The runtime and libtorch, resident before anything is loaded, and the managed heap that a run comes to.
    private const long Process = 267L << 20;

    // A coordinator of its own, which has no libtorch.
    private const long Service = 130L << 20;

    // The run's first version, the one that is trained, and the next, or the last one as it is read back.
    private const int Versions = 3;

    // Gradients that a coordinator holds in memory at most, besides one for each level of the tree; others wait in the spool.
    private const int GradientsInMemory = 16;

    /// <summary>The prediction.</summary>
    public static MemoryPrediction Predict(MemoryQuestion question)
    {
        ArgumentNullException.ThrowIfNull(question);
        var lanes = (long)question.Workers * question.Lanes;
        var vector = question.Layout.Length * Single;
        var groups = Math.Max(1, question.GroupsPerStep);
        List<MemoryPart> parts = [new("process", question.WithWorkers ? Process : Service, "runtime and libraries")];
        if (question.WithWorkers)
        {
            // A worker has it as tensors; one that fetched it also as it arrived, and gradients to be sent.
            var copies = question.WithCoordinator ? 1 : 2 + Math.Min(question.Lanes, groups);
            parts.Add(new("base", Base(question), Precision(question)));
            parts.Add(new("adapter", question.Workers * copies * vector, Text($"{question.Layout.ParameterCount} trained values in fp32, {copies} copies a worker")));
            parts.Add(new("activations", lanes * new ActivationMemory(question).Bytes, Text($"{lanes} groups of up to {question.Batch.Tokens} tokens at the same time")));
        }

        if (question.WithCoordinator)
        {
            // Gradients on their way, one waiting at each level of the tree, and the last step's, which is written while the next is computed.
            var gradients = Math.Min(groups, Math.Min(lanes, GradientsInMemory) + BitOperations.Log2((uint)groups)) + 1;
            parts.Add(new("optimizer", 2 * Single * Optimizers.MomentLength(question.Layout, question.Optimizer), question.Optimizer.EightBit ? "two moments in eight bits" : "two moments in fp32"));
            parts.Add(new("gradients", gradients * vector, Text($"{gradients} vectors, on their way or waiting for others")));
            parts.Add(new("versions", Versions * vector, Text($"{Versions} vectors: versions of the adapter")));
        }

        return new MemoryPrediction([.. parts]);
    }

    /// <summary>Bytes of the frozen base.</summary>
    private static long Base(MemoryQuestion question)
    {
        var spec = question.Spec;
        if (question.TrainsAllWeights)
        {
            return 0;
        }

        var quantized = question.Quantization is null ? [] : FourBitModules.Of(spec).ToHashSet(StringComparer.Ordinal);
        return spec.Weights.Sum(weight =>
        {
            if (quantized.Contains(weight.Name))
            {
                var state = FourBitTensor.EmptyState(weight.Shape, Formats.WeightType.Float32, question.Quantization!);
                return state.PackedBytes + state.ScaleBytes + (state.NestedCount * Single);
            }

            var elements = weight.Shape.Aggregate(1L, (product, dimension) => checked(product * dimension));
            return elements * (weight.Shape.Length > 1 && question.BaseInBFloat16 ? sizeof(ushort) : Single);
        });
    }

    private static string Precision(MemoryQuestion question) => question.TrainsAllWeights
        ? "all of it is trained"
        : (question.BaseInBFloat16 ? "bf16" : "fp32") + (question.Quantization is { } quantization ? $", layers in {quantization.Tag}" : "");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
