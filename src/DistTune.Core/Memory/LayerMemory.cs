// Shapes: T rows, D width, Q query features, K key or value features, I feed-forward width, R rank.
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Memory;

/// <summary>What one decoder layer holds; it counts the tensors that the passes make, and follows when they free them.</summary>
/// <param name="question">The run and the process.</param>
internal sealed class LayerMemory(MemoryQuestion question)
{
    private const long AttentionBlock = 256;
    private const long FourBitBuffer = 1 << 19;

    private readonly DecoderSpec _spec = question.Spec;

    // DoRA keeps what its rows were before they were scaled; a magnitude has one element a row of the module.
    private readonly long _unscaled = PerLayer(question, TensorRole.Magnitude, entry => entry.Length);
    private readonly long _ranks = PerLayer(question, TensorRole.LoraA, entry => entry.Shape[0]);

    /// <summary>The most of one layer's gradients, which wait for the layer's last.</summary>
    public Held Gradients { get; } = question.Layout.Entries
        .Where(entry => entry.Layer >= 0 && entry.Layer < question.Spec.LayerCount)
        .GroupBy(entry => entry.Layer)
        .Select(layer => layer.Aggregate(Held.Nothing, (sum, entry) => sum + Held.Of(entry.Length)))
        .MaxBy(layer => layer.Bytes);

    private long Width => _spec.HiddenSize;

    private long Inner => _spec.IntermediateSize;

    private long Query => (long)_spec.HeadCount * _spec.HeadDimension;

    private long Fused => Query + (2L * _spec.KeyValueHeadCount * _spec.HeadDimension);

    // Temporaries that value and slope of the non-linearity leave until both are done.
    private int Slopes => _spec.Activation switch
    {
        Activation.Silu or Activation.Relu => 3,
        Activation.Gelu => 5,
        _ => 6,
    };

    // What a product reads that is not held in fp32.
    private Held Widened => question switch
    {
        { TrainsAllWeights: true } => Held.Nothing,
        { Quantization: not null } => Held.Of(FourBitBuffer),
        { BaseInBFloat16: true } => Held.Of(Math.Max(2 * Inner, Fused) * Width),
        _ => Held.Nothing,
    };

    /// <summary>What a layer's tape holds besides its input.</summary>
    /// <param name="rows">Rows of the micro-batch.</param>
    /// <param name="after">Rows after the attention, fewer in the last layer.</param>
    public Held Tape(long rows, long after)
    {
        // Normed, q k v (twice where heads are normed), mixed; then attended, normed, gate and up, activated, and what post-norms read.
        var attention = Held.Of(rows * Width) + Held.Of(rows * Fused, _spec.QueryKeyNorm ? 2 : 1) + Held.Of(rows * Query);
        var selected = after < rows ? Held.Of(after * Query) + Held.Of(after * Width) : Held.Nothing;
        var rest = Held.Of(after * Width, _spec.PostNorms ? 6 : 2) + Held.Of(2 * after * Inner) + Held.Of(after * Inner);
        return attention + selected + rest + Held.Of(rows * _ranks) + (_unscaled > 0 ? Held.Of(rows * _unscaled / 4, 4) : Held.Nothing);
    }

    /// <summary>The most that a layer's derivative holds besides its tape.</summary>
    public Held Backward(long rows, long longestRow)
    {
        // The gradient of the residual stream waits beside all of it.
        var residual = Held.Of(rows * Width);
        var activation = Held.Of(rows * Inner, 1 + Slopes) + Held.Of(2 * rows * Inner);
        var feedForward = Linear(rows, inputs: Width, outputs: 2 * Inner, modules: 2);
        var down = Linear(rows, inputs: Inner, outputs: Width, modules: 1);
        return residual + Held.Most(activation, feedForward, down, Attention(rows, longestRow));
    }

    /// <summary>The most that a layer holds where nothing is derived, its input and output included.</summary>
    public Held Forward(long rows, long longestRow)
    {
        var gate = _spec.Activation is Activation.Silu or Activation.Relu ? 1 : 2;
        var feedForward = Held.Of(rows * Width, 4) + Held.Of(2 * rows * Inner) + Held.Of(rows * Inner, gate);
        var attention = Held.Of(rows * Width, 2) + Held.Of(rows * Fused, 2) + Held.Of(rows * Query) + Scores(longestRow, _spec.AttentionSoftCap is null ? 2 : 3);
        return Held.Most(feedForward, attention) + Widened;
    }

    // By then the feed-forward block's share of the tape is gone, whose place this takes.
    private Held Attention(long rows, long longestRow)
    {
        var held = Held.Of(rows * Query) + Held.Of(rows * Fused) + Scores(longestRow, _spec.AttentionSoftCap is null ? 4 : 5);
        return held - (Held.Of(2 * rows * Inner) + Held.Of(rows * Inner) + Held.Of(rows * Width, 2));
    }

    // Gradient and result; a mask and what it leaves for each module; scaled gradients of DoRA; the weight's own gradient.
    private Held Linear(long rows, long inputs, long outputs, int modules) =>
        Held.Of(rows * outputs)
        + Held.Of(rows * inputs)
        + (question.Dropout && _ranks > 0 ? Held.Of(rows * inputs, 1 + modules) : Held.Nothing)
        + (_unscaled > 0 ? Held.Of(rows * outputs, 2) : Held.Nothing)
        + (question.TrainsAllWeights ? Held.Of(inputs * outputs) : Held.Nothing)
        + Widened;

    private Held Scores(long longestRow, int copies) => Held.Of(_spec.HeadCount * Math.Min(AttentionBlock, longestRow) * longestRow, copies);

    private static long PerLayer(MemoryQuestion question, TensorRole role, Func<ParameterEntry, long> count) => question.Layout.Entries
        .Where(entry => entry.Role == role && entry.Layer < question.Spec.LayerCount)
        .GroupBy(entry => entry.Layer)
        .Select(layer => layer.Sum(count))
        .DefaultIfEmpty(0)
        .Max();
}
