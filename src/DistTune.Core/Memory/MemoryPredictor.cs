// Shapes: T rows, R predicting rows, t longest row, D width, Q query features, K key or value features, I feed-forward width, V vocabulary.
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
    private const long AttentionBlock = 256;
    private const long ChunkLogits = 1 << 24;
    private const long FourBitBuffer = (1 << 19) * Single;

    // The runtime and libtorch, resident before anything is loaded.
    private const long Process = 220L << 20;

    // What lies unused between live tensors, as measured: a twentieth of them.
    private const double Fragmentation = 1.05;

    // While one version of the adapter takes over from another a worker holds both, each as it was received and as tensors.
    private const int AdapterCopies = 4;

    /// <summary>The prediction.</summary>
    public static MemoryPrediction Predict(MemoryQuestion question)
    {
        ArgumentNullException.ThrowIfNull(question);
        var lanes = (long)question.Workers * question.Lanes;
        var vector = question.Layout.Length * Single;
        List<MemoryPart> parts =
        [
            new("process", Process, "runtime and libraries"),
            new("base", Base(question), Precision(question)),
            new("adapter", AdapterCopies * question.Workers * vector, Text($"{question.Layout.ParameterCount} trained values in fp32, {AdapterCopies} copies a worker")),
            new("activations", (long)(lanes * Activations(question) * Fragmentation), Text($"{lanes} groups of up to {question.Batch.Tokens} tokens at the same time")),
        ];
        if (question.WithCoordinator)
        {
            var groups = (uint)Math.Max(1, question.GroupsPerStep);
            // Gradients on their way, one waiting at each level of the tree, and the current, the next and the first version.
            var buffers = lanes + BitOperations.Log2(groups) + 1 + 3;
            parts.Add(new("optimizer", 2 * Single * Optimizers.MomentLength(question.Layout, question.Optimizer), question.Optimizer.EightBit ? "two moments in eight bits" : "two moments in fp32"));
            parts.Add(new("gradients", buffers * vector, Text($"{buffers} vectors: gradients and versions in the coordinator")));
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

    /// <summary>Most bytes that one lane holds at a time.</summary>
    private static long Activations(MemoryQuestion question)
    {
        var (spec, batch) = (question.Spec, question.Batch);
        var (t, d, i) = (batch.Tokens, (long)spec.HiddenSize, (long)spec.IntermediateSize);
        var q = (long)spec.HeadCount * spec.HeadDimension;
        var fused = q + (2L * spec.KeyValueHeadCount * spec.HeadDimension);

        // What a layer's tape holds besides its input: normed, q k v, mixed, attended, normed, gate and up, activated.
        var tape = Single * t * (d + fused + q + d + d + (2 * i) + i);
        var kept = spec.LayerCount * Single * t * d;
        var tapes = question.GradientCheckpointing ? tape : spec.LayerCount * tape;

        // Down's input gradient becomes that of gate and up: sigmoid, silu, slope, a product, and the result; beside it the residual's.
        var backward = Single * t * ((6 * i) - i + (2 * d));
        var attention = 4 * Single * spec.HeadCount * Math.Min(AttentionBlock, batch.LongestRow) * batch.LongestRow;
        var widened = question.Quantization is not null ? FourBitBuffer : question.BaseInBFloat16 ? Single * LargestMatrix(spec) : 0;
        var layer = Math.Max(backward, attention + (Single * t * (fused + q))) + widened;
        return kept + tapes + Gradients(question) + Math.Max(layer, Loss(question));
    }

    // Logits of a chunk, their sum in double, the widened head; the last layer's rows and their gradient.
    private static long Loss(MemoryQuestion question)
    {
        var (spec, batch) = (question.Spec, question.Batch);
        long vocabulary = spec.VocabularySize;
        var rows = Math.Min(batch.PredictingTokens, Math.Max(1, ChunkLogits / vocabulary));
        var head = question.BaseInBFloat16 ? Single * vocabulary * spec.HiddenSize : 0;
        return (rows * vocabulary * (Single + sizeof(double))) + head + (4 * Single * batch.PredictingTokens * spec.HiddenSize);
    }

    // Tensors of one layer wait for the layer's last gradient.
    private static long Gradients(MemoryQuestion question) =>
        question.Layout.Entries.GroupBy(entry => entry.Layer).Select(layer => layer.Sum(entry => entry.Length) * Single).DefaultIfEmpty(0).Max();

    // Matrices with the same input stand one below the other and are widened together.
    private static long LargestMatrix(DecoderSpec spec) => spec.Linears
        .Where(module => module.Layer < spec.LayerCount)
        .GroupBy(module => (module.Layer, Input: InputOf(module.Name)))
        .Max(group => group.Sum(module => (long)module.In * module.Out));

    private static string InputOf(string name) => name[(name.LastIndexOf('.') + 1)..] switch
    {
        "q_proj" or "k_proj" or "v_proj" or "qkv_proj" => "attention",
        "gate_proj" or "up_proj" or "gate_up_proj" => "gate",
        var other => other,
    };

    private static string Precision(MemoryQuestion question) => question.TrainsAllWeights
        ? "all of it is trained"
        : (question.BaseInBFloat16 ? "bf16" : "fp32") + (question.Quantization is { } quantization ? $", layers in {quantization.Tag}" : "");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
