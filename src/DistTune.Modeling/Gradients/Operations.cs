// Shapes: T rows, D width, H query heads, K key/value heads, d head width, I feed-forward width.
using DistTune.Core.Models;
using DistTune.Modeling.Batches;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Gradients;

/// <summary>The kernels, with each call's derivative written to the tape if there is one.</summary>
/// <param name="kernels">The arithmetic.</param>
/// <param name="gradients">Takes the gradients of trained tensors.</param>
/// <param name="tape">Where derivatives are recorded; null computes values only.</param>
/// <param name="dropout">Drops inputs of adapters; null drops none.</param>
internal sealed partial class Operations(IKernels kernels, IParameterGradients gradients, Tape? tape, LoraDropout? dropout = null)
{
    /// <summary>See <see cref="IKernels.RmsNorm"/>.</summary>
    public Node RmsNorm(Node x, Gain gain, NormSpec norm)
    {
        var (y, reciprocal) = kernels.RmsNorm(x.Value, gain.Value, norm);
        var output = new Node(y, Records(x.NeedsGradient || gain.Entry is not null));
        if (!output.NeedsGradient)
        {
            reciprocal.Dispose();
            return output;
        }

        tape!.Record(
            output,
            gradient =>
            {
                var (xGradient, gainGradient) = kernels.RmsNormBackward(gradient, x.Value, gain.Value, reciprocal, norm, x.NeedsGradient, gain.Entry is not null);
                gradient.Dispose();
                if (xGradient is not null)
                {
                    x.AddGradient(xGradient);
                }

                if (gainGradient is not null)
                {
                    gradients.Add(gain.Entry!.Value, gainGradient);
                }
            },
            x.Hold(),
            reciprocal);
        return output;
    }

    /// <summary>See <see cref="IKernels.Linear"/>.</summary>
    /// <param name="x">[T, in].</param>
    /// <param name="projection">The map.</param>
    /// <param name="residual">Added to the result, or null.</param>
    /// <param name="readsOutput">False where only the derivative is of interest: the product is left out and the value is empty.</param>
    public Node Linear(Node x, Projection projection, Node? residual = null, bool readsOutput = true)
    {
        var (y, trace) = readsOutput
            ? kernels.Linear(x.Value, projection, residual?.Value, dropout)
            : (torch.empty([0L], device: x.Value.device), kernels.LinearTrace(x.Value, projection, dropout));
        var output = new Node(y, Records(x.NeedsGradient || projection.IsTrained || residual is { NeedsGradient: true }));
        if (!output.NeedsGradient)
        {
            trace?.Dispose();
            return output;
        }

        tape!.Record(
            output,
            gradient =>
            {
                var xGradient = kernels.LinearBackward(gradient, projection, x.Value, trace, x.NeedsGradient, gradients, dropout);
                if (xGradient is not null)
                {
                    x.AddGradient(xGradient);
                }

                if (residual is { NeedsGradient: true })
                {
                    residual.AddGradient(gradient);
                }
                else
                {
                    gradient.Dispose();
                }
            },
            // A frozen map's derivative does not read x.
            projection.IsTrained ? x.Hold() : null,
            trace);
        return output;
    }

    /// <summary>Rotates the query and key heads of fused q, k, v in place (<see cref="IKernels.Rotate"/>).</summary>
    public void Rotate(Node fused, RotaryRows rows, AttentionShape shape)
    {
        RotateHeads(fused.Value, rows, shape, inverse: false);
        if (fused.NeedsGradient)
        {
            tape!.Record(
                fused,
                gradient =>
                {
                    RotateHeads(gradient, rows, shape, inverse: true);
                    fused.AddGradient(gradient);
                });
        }
    }

    /// <summary>Attention over fused q, k, v (<see cref="IKernels.Attention"/>).</summary>
    /// <param name="fused">[T, (H + 2 K) d].</param>
    /// <param name="rows">The segments.</param>
    /// <param name="shape">The heads.</param>
    public Node Attention(Node fused, PackedRows rows, AttentionShape shape)
    {
        var (queries, keys, values) = FusedHeads.Split(fused.Value, shape);
        var output = new Node(kernels.Attention(queries, keys, values, shape, rows.Spans.AsSpan()), Records(fused.NeedsGradient));
        Free(queries, keys, values);
        if (output.NeedsGradient)
        {
            tape!.Record(output, gradient => fused.AddGradient(AttentionGradient(gradient, fused.Value, rows, shape)), fused.Hold());
        }

        return output;
    }

    /// <summary>See <see cref="IKernels.GatedActivation"/>.</summary>
    public Node GatedActivation(Node gateUp, Activation activation)
    {
        var output = new Node(kernels.GatedActivation(gateUp.Value, activation), Records(gateUp.NeedsGradient));
        if (output.NeedsGradient)
        {
            tape!.Record(
                output,
                gradient =>
                {
                    gateUp.AddGradient(kernels.GatedActivationBackward(gradient, gateUp.Value, activation));
                    gradient.Dispose();
                },
                gateUp.Hold());
        }

        return output;
    }

    /// <summary>The rows at <paramref name="index"/> (int64, ascending, distinct).</summary>
    public Node Select(Node x, Tensor index)
    {
        var output = new Node(x.Value.index_select(0, index), Records(x.NeedsGradient));
        if (output.NeedsGradient)
        {
            var shape = x.Value.shape;
            tape!.Record(
                output,
                gradient =>
                {
                    var all = torch.zeros(shape, dtype: gradient.dtype, device: gradient.device);
                    all.index_copy_(0, index, gradient);
                    gradient.Dispose();
                    x.AddGradient(all);
                });
        }

        return output;
    }

    private static void Free(params ReadOnlySpan<Tensor> views)
    {
        foreach (var view in views)
        {
            view.Dispose();
        }
    }

    private Tensor AttentionGradient(Tensor gradient, Tensor fused, PackedRows rows, AttentionShape shape)
    {
        var result = torch.zeros(fused.shape, dtype: fused.dtype, device: fused.device);
        var (queries, keys, values) = FusedHeads.Split(fused, shape);
        var into = FusedHeads.Split(result, shape);
        kernels.AttentionBackward(gradient, queries, keys, values, shape, rows.Spans.AsSpan(), into);
        Free(queries, keys, values, into.Queries, into.Keys, into.Values, gradient);
        return result;
    }

    private void RotateHeads(Tensor fused, RotaryRows rows, AttentionShape shape, bool inverse)
    {
        using var scope = torch.NewDisposeScope();
        var heads = fused.view(fused.shape[0], -1, shape.HeadDimension).narrow(1, 0, shape.Heads + shape.KeyValueHeads);
        kernels.Rotate(heads, rows.Cosine, rows.Sine, inverse);
    }

    private bool Records(bool needed) => tape is not null && needed;
}
