// Shapes: in and out features, R rank.
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Adapters;

/// <summary>The lengths of the rows of W + s B A, which DoRA divides by.</summary>
internal static class RowLengths
{
    private const long BlockRows = 256;

    // Changes no length but that of a row of zeros, whose output is zero whatever it is divided by.
    private const double Least = 1e-30;

    /// <summary>The lengths [rows of the part], fp32; block by block, so that no copy of W is ever whole. In the current dispose scope.</summary>
    /// <param name="weight">W, with all rows of the projection.</param>
    /// <param name="stackedA">The A's of the projection.</param>
    /// <param name="part">The module.</param>
    public static Tensor Of(FrozenMatrix weight, Tensor stackedA, LoraPart part)
    {
        var result = torch.empty([part.Rows], dtype: ScalarType.Float32, device: part.B.device);
        for (long row = 0; row < part.Rows; row += BlockRows)
        {
            using var scope = torch.NewDisposeScope();
            var count = Math.Min(BlockRows, part.Rows - row);
            var block = weight.RowBlock(part.Row + row, count, ScalarType.Float32);
            // A block may be a view of the base's own values.
            var sum = block.addmm(part.B.narrow(0, row, count), stackedA.narrow(0, part.RankOffset, part.Rank), 1, part.Scale);
            result.narrow(0, row, count).copy_(sum.square().sum(dim: 1).sqrt().add_(Least));
        }

        return result;
    }
}
