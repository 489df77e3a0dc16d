// Shapes: T rows, in and out features, R rank.
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Kernels;

/// <summary>
/// DoRA whose adapter sees x with inputs dropped, x~, while the base sees x, as in PEFT:
/// y = W x + (c - 1) W x~ + c s B A x~, c being the scale of a row. Each module drops inputs of its own.
/// </summary>
internal static class DroppedDora
{
    /// <summary>W x~ + s B A x~ [T, out], zero where there is no adapter; what the scales make of it is added to <paramref name="y"/>.</summary>
    /// <param name="x">[T, in].</param>
    /// <param name="projection">The map, with its adapter and its scales.</param>
    /// <param name="reduced">x~ A^T [T, sum of ranks].</param>
    /// <param name="dropout">Drops the inputs.</param>
    /// <param name="y">W x [T, out], changed; null asks for no y.</param>
    public static Tensor Unscaled(Tensor x, Projection projection, Tensor reduced, LoraDropout dropout, Tensor? y)
    {
        var unscaled = torch.zeros([x.shape[0], projection.Weight.Rows], dtype: x.dtype, device: x.device);
        foreach (var part in projection.Lora!.Parts)
        {
            using var partScope = torch.NewDisposeScope();
            var product = projection.Weight.MultiplyRows(dropout.Apply(x, part.DropoutStream), part.Row, part.Rows);
            var low = reduced.narrow(1, part.RankOffset, part.Rank);
            var added = Precision.Alike(low.mm(Precision.Alike(part.B, low).t()).mul_(part.Scale), product);
            if (y is not null)
            {
                var factors = Factors(projection.Dora!, part, product);
                y.narrow(1, part.Row, part.Rows).add_(product.mul(factors.sub(1))).add_(added.mul(factors));
            }

            unscaled.narrow(1, part.Row, part.Rows).copy_(product.add_(added));
        }

        return unscaled;
    }

    /// <summary>The gradient of x~ through (c - 1) W x~ [T, in]; in the current dispose scope.</summary>
    /// <param name="gradient">That of y [T, out].</param>
    /// <param name="projection">As in the forward pass.</param>
    /// <param name="part">The module.</param>
    public static Tensor InputGradient(Tensor gradient, Projection projection, LoraPart part)
    {
        var rows = gradient.narrow(1, part.Row, part.Rows);
        return projection.Weight.MultiplyRowsTransposed(rows.mul(Factors(projection.Dora!, part, rows).sub(1)), part.Row, part.Rows);
    }

    private static Tensor Factors(RowScales dora, LoraPart part, Tensor like) => Precision.Alike(dora.Factors.narrow(0, part.Row, part.Rows), like);
}
