namespace DistTune.Core.Numerics;

/// <summary>
/// Singular values and vectors in double precision, the same bits on every machine and for any number of threads. No torch: the
/// coordinator decomposes the base's weights and has none.
/// </summary>
public static class SingularValues
{
    private const int SmallSide = 160;
    private const int ShareThatIsAll = 4;

    /// <summary>The largest triplets of a matrix.</summary>
    /// <param name="matrix">Row-major.</param>
    /// <param name="rows">Its height.</param>
    /// <param name="columns">Its width.</param>
    /// <param name="count">How many; at most the shorter side.</param>
    /// <exception cref="DistTuneException">A value is not finite.</exception>
    public static SingularTriplets Largest(float[] matrix, int rows, int columns, int count)
    {
        ArgumentNullException.ThrowIfNull(matrix);
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(columns, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Math.Min(rows, columns));
        if (matrix.Length != (long)rows * columns)
        {
            throw new ArgumentException($"{rows} rows of {columns} are {(long)rows * columns} values; got {matrix.Length}.", nameof(matrix));
        }

        if (!Array.TrueForAll(matrix, float.IsFinite))
        {
            throw new DistTuneException(FaultKind.InvalidFile, "A matrix to decompose holds a value that is not finite. Check the base's weights.");
        }

        var side = Math.Min(rows, columns);
        return side <= SmallSide || count >= side / ShareThatIsAll ? Whole(matrix, rows, columns, count) : LanczosDecomposition.Decompose(matrix, rows, columns, count);
    }

    private static SingularTriplets Whole(float[] matrix, int rows, int columns, int count)
    {
        var byRows = rows <= columns;
        var vectors = new double[byRows ? rows : columns][];
        for (var i = 0; i < vectors.Length; i++)
        {
            vectors[i] = new double[byRows ? columns : rows];
            for (var j = 0; j < vectors[i].Length; j++)
            {
                vectors[i][j] = byRows ? matrix[((long)i * columns) + j] : matrix[((long)j * columns) + i];
            }
        }

        var (values, along, across) = JacobiDecomposition.Decompose(vectors);
        return byRows
            ? new SingularTriplets(values[..count], across[..count], along[..count])
            : new SingularTriplets(values[..count], along[..count], across[..count]);
    }
}
