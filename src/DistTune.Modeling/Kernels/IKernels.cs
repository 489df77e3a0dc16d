// Shapes: T rows, D width, H query heads, K key/value heads, d head width, I feed-forward width, V vocabulary, R rank.
using DistTune.Core.Models;
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Kernels;

/// <summary>Takes gradients of trained tensors and owns them from then on; several gradients of one tensor add up.</summary>
internal interface IParameterGradients
{
    /// <summary>Adds <paramref name="gradient"/> (fp32) to the tensor at index <paramref name="entry"/> of the layout.</summary>
    void Add(int entry, Tensor gradient);
}

/// <summary>What the derivative of a linear map with an adapter reads besides x.</summary>
/// <param name="Reduced">x A^T [T, sum of ranks], fp32.</param>
/// <param name="Unscaled">W x + s B A x [T, out] before DoRA scales its rows, of what dropout leaves of x; null without DoRA.</param>
internal sealed record LinearTrace(Tensor Reduced, Tensor? Unscaled) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Reduced.Dispose();
        Unscaled?.Dispose();
    }
}

/// <summary>
/// The arithmetic of a decoder, each operation with its derivative. Nothing here records anything: what the derivative needs is
/// handed in again. Tensors that come back are new and belong to the caller. Inputs are never changed, except where said.
/// </summary>
internal interface IKernels
{
    /// <summary>x * rsqrt(mean(x^2) + epsilon) * gain over the last dimension, normalised in fp32.</summary>
    /// <param name="x">[T, D], or [T, heads, d]; possibly a view.</param>
    /// <param name="weight">[D] or [d], fp32.</param>
    /// <param name="norm">Epsilon, and how the gain follows from the weight.</param>
    /// <returns>y like x and the reciprocal root mean square [T, 1] or [T, heads, 1], fp32, which the derivative needs.</returns>
    (Tensor Y, Tensor Reciprocal) RmsNorm(Tensor x, Tensor weight, NormSpec norm);

    /// <summary>The derivative of <see cref="RmsNorm"/>; either result is left out (null) if it is not asked for.</summary>
    (Tensor? X, Tensor? Weight) RmsNormBackward(Tensor gradient, Tensor x, Tensor weight, Tensor reciprocal, NormSpec norm, bool inputGradient, bool weightGradient);

    /// <summary>Rotates, in place, the first 2 * pairs dimensions of each head by its row's angles: pairs are (i, i + pairs).</summary>
    /// <param name="heads">[T, heads, d], possibly a view; changed.</param>
    /// <param name="cosine">[T, 1, pairs].</param>
    /// <param name="sine">[T, 1, pairs].</param>
    /// <param name="inverse">Rotate back: the derivative.</param>
    void Rotate(Tensor heads, Tensor cosine, Tensor sine, bool inverse);

    /// <summary>softmax(cap(scale * q k)) v within each span, causal, within the window if there is one.</summary>
    /// <param name="queries">[Tq, H, d], possibly a view.</param>
    /// <param name="keys">[Tk, K, d], possibly a view.</param>
    /// <param name="values">[Tk, K, d], possibly a view.</param>
    /// <param name="shape">The heads.</param>
    /// <param name="spans">Which queries see which keys; each query in one span.</param>
    /// <returns>[Tq, H * d].</returns>
    Tensor Attention(Tensor queries, Tensor keys, Tensor values, AttentionShape shape, ReadOnlySpan<AttentionSpan> spans);

    /// <summary>The derivative of <see cref="Attention"/>.</summary>
    /// <param name="gradient">[Tq, H * d].</param>
    /// <param name="queries">As in the forward pass.</param>
    /// <param name="keys">As in the forward pass.</param>
    /// <param name="values">As in the forward pass.</param>
    /// <param name="shape">The heads.</param>
    /// <param name="spans">As in the forward pass.</param>
    /// <param name="into">Views of the gradients of queries, keys and values, zero before; the result is added.</param>
    void AttentionBackward(
        Tensor gradient,
        Tensor queries,
        Tensor keys,
        Tensor values,
        AttentionShape shape,
        ReadOnlySpan<AttentionSpan> spans,
        (Tensor Queries, Tensor Keys, Tensor Values) into);

    /// <summary>activation(gate) * up (Shazeer 2020, arXiv:2002.05202).</summary>
    /// <param name="gateUp">[T, 2 I]: gate, then up.</param>
    /// <param name="activation">The non-linearity.</param>
    /// <returns>[T, I].</returns>
    Tensor GatedActivation(Tensor gateUp, Activation activation);

    /// <summary>The derivative of <see cref="GatedActivation"/>: [T, 2 I].</summary>
    Tensor GatedActivationBackward(Tensor gradient, Tensor gateUp, Activation activation);

    /// <summary>x W^T + b + residual, plus scale * (x A^T) B^T in fp32 where there is an adapter; with DoRA and dropout as <see cref="DroppedDora"/> says.</summary>
    /// <param name="x">[T, in].</param>
    /// <param name="projection">The map.</param>
    /// <param name="residual">[T, out], added; null for none.</param>
    /// <param name="dropout">Drops inputs of A; null drops none.</param>
    /// <returns>y [T, out], and what the derivative needs, if there is an adapter.</returns>
    (Tensor Y, LinearTrace? Trace) Linear(Tensor x, Projection projection, Tensor? residual, LoraDropout? dropout = null);

    /// <summary>Only what the derivative of <see cref="Linear"/> needs, for a recomputation whose y nobody reads.</summary>
    LinearTrace? LinearTrace(Tensor x, Projection projection, LoraDropout? dropout = null);

    /// <summary>The derivative of <see cref="Linear"/>; gradients of what is trained go to <paramref name="gradients"/>.</summary>
    /// <param name="gradient">[T, out].</param>
    /// <param name="projection">The map.</param>
    /// <param name="x">The input; only read if something of the projection is trained.</param>
    /// <param name="trace">What the forward pass returned.</param>
    /// <param name="inputGradient">Whether the gradient of x is asked for.</param>
    /// <param name="gradients">Takes the gradients of trained tensors.</param>
    /// <param name="dropout">As in the forward pass.</param>
    /// <returns>The gradient of x [T, in], or null.</returns>
    Tensor? LinearBackward(
        Tensor gradient,
        Projection projection,
        Tensor? x,
        LinearTrace? trace,
        bool inputGradient,
        IParameterGradients gradients,
        LoraDropout? dropout = null);

    /// <summary>Summed cross-entropy of rows of logits.</summary>
    /// <param name="logits">[T, V], fp32; overwritten, with the gradient of the sum if <paramref name="gradient"/>.</param>
    /// <param name="targets">[T], int64.</param>
    /// <param name="labelSmoothing">e: (1 - e) * nll + e / V * (sum of -log p).</param>
    /// <param name="gradient">Whether the gradient is asked for.</param>
    /// <returns>The loss of each row [T], fp64.</returns>
    Tensor CrossEntropy(Tensor logits, Tensor targets, double labelSmoothing, bool gradient);
}
