namespace DistTune.Core.Numerics;

/// <summary>Low-rank factors of a matrix: A [rank, columns] and B [rows, rank], row-major.</summary>
/// <param name="A">The factor that reads the input.</param>
/// <param name="B">The factor that writes the output.</param>
public sealed record PrincipalFactors(float[] A, float[] B)
{
    /// <summary>The best approximation of a rank: matrix ≈ scale B A, its weight shared evenly by the two factors.</summary>
    /// <param name="matrix">Row-major.</param>
    /// <param name="rows">Its height.</param>
    /// <param name="columns">Its width.</param>
    /// <param name="rank">Rank; at most the shorter side.</param>
    /// <param name="scale">The factor on the product B A.</param>
    public static PrincipalFactors Of(float[] matrix, int rows, int columns, int rank, double scale)
    {
        var triplets = SingularValues.Largest(matrix, rows, columns, rank);
        var (a, b) = (new float[(long)rank * columns], new float[(long)rows * rank]);
        for (var r = 0; r < rank; r++)
        {
            var share = Math.Sqrt(triplets.Values[r] / scale);
            for (var column = 0; column < columns; column++)
            {
                a[((long)r * columns) + column] = (float)(share * triplets.Right[r][column]);
            }

            for (var row = 0; row < rows; row++)
            {
                b[((long)row * rank) + r] = (float)(share * triplets.Left[r][row]);
            }
        }

        return new PrincipalFactors(a, b);
    }
}
