// Shapes: V vocabulary, D width, R rank.
namespace DistTune.Modeling.Adapters;

/// <summary>The lengths of the columns of an embedding with its adapter, E + s (B A)^T, which DoRA divides by.</summary>
internal static class ColumnLengths
{
    private const long BlockRows = 1024;

    // Changes no length but that of a column of zeros, whose output is zero whatever it is divided by.
    private const double Least = 1e-30;

    /// <summary>The lengths [D], fp32; block by block of tokens in order, so that no copy of E is ever whole. In the current dispose scope.</summary>
    /// <param name="embedding">E [V, D].</param>
    /// <param name="a">A [R, V].</param>
    /// <param name="b">B [D, R].</param>
    /// <param name="scale">s.</param>
    public static Tensor Of(Tensor embedding, Tensor a, Tensor b, float scale)
    {
        var squares = torch.zeros([embedding.shape[1]], dtype: ScalarType.Float64, device: embedding.device);
        for (long token = 0; token < embedding.shape[0]; token += BlockRows)
        {
            using var scope = torch.NewDisposeScope();
            var count = Math.Min(BlockRows, embedding.shape[0] - token);
            var rows = embedding.narrow(0, token, count).to(ScalarType.Float32);
            squares.add_(rows.addmm(a.narrow(1, token, count).t(), b.t(), 1, scale).to(ScalarType.Float64).square().sum(dim: 0));
        }

        return squares.sqrt().add_(Least).to(ScalarType.Float32);
    }
}
