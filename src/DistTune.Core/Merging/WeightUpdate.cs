using System.Numerics;
using System.Runtime.InteropServices;

namespace DistTune.Core.Merging;

/// <summary>
/// W + s B A row by row, in double precision and in the order of the ranks: every element is computed alone, so the bits depend neither
/// on the vector width nor on the number of threads.
/// </summary>
internal static class WeightUpdate
{
    /// <summary>Adds a module's factors to its weight and, for DoRA, scales the rows, or an embedding's columns, to their magnitudes.</summary>
    public static unsafe void Apply(AdaptedModule module, Span<float> weight)
    {
        // Of an embedding, (B A)^T is added: its rows are A's columns times B's.
        var (left, right) = module.IsEmbedding ? (Transposed(module.A), Transposed(module.B)) : (module.B.Values, module.A.Values);
        var shape = module.WeightShape;
        var (rows, columns, rank) = (checked((int)shape[0]), checked((int)shape[1]), module.Rank);
        var factors = Array.ConvertAll(right, value => (double)value);
        var columnFactors = module is { IsEmbedding: true, Magnitude: { } lengths } ? ColumnFactors(weight, left, factors, module, lengths) : null;
        fixed (float* first = weight)
        {
            var start = (nint)first;
            Parallel.For(
                0,
                rows,
                () => new double[columns],
                (row, _, sum) =>
                {
                    Row(new Span<float>((float*)start + ((long)row * columns), columns), left.AsSpan(row * rank, rank), factors, module.Scale, columnFactors is null ? module.Magnitude?[row] : null, columnFactors, sum);
                    return sum;
                },
                _ => { });
        }
    }

    private static void Row(Span<float> weight, ReadOnlySpan<float> left, double[] right, double scale, float? magnitude, double[]? columnFactors, double[] sum)
    {
        Sum(weight, left, right, scale, sum);
        var factor = 1.0;
        if (magnitude is { } length)
        {
            var square = 0.0;
            foreach (var value in sum)
            {
                square += value * value;
            }

            // A row of zeros has no direction to scale.
            factor = square > 0 ? length / Math.Sqrt(square) : 0;
        }

        for (var i = 0; i < sum.Length; i++)
        {
            weight[i] = (float)(sum[i] * (columnFactors?[i] ?? factor));
        }
    }

    private static void Sum(ReadOnlySpan<float> weight, ReadOnlySpan<float> left, double[] right, double scale, double[] sum)
    {
        for (var i = 0; i < sum.Length; i++)
        {
            sum[i] = weight[i];
        }

        for (var r = 0; r < left.Length; r++)
        {
            AddScaled(sum, right.AsSpan(r * sum.Length, sum.Length), scale * left[r]);
        }
    }

    // What takes each column of the sum to its length; the squares are added row by row.
    private static double[] ColumnFactors(ReadOnlySpan<float> weight, float[] left, double[] right, AdaptedModule module, float[] lengths)
    {
        var (sum, squares) = (new double[lengths.Length], new double[lengths.Length]);
        for (var row = 0; row * sum.Length < weight.Length; row++)
        {
            Sum(weight.Slice(row * sum.Length, sum.Length), left.AsSpan(row * module.Rank, module.Rank), right, module.Scale, sum);
            for (var i = 0; i < sum.Length; i++)
            {
                squares[i] += sum[i] * sum[i];
            }
        }

        // A column of zeros has no direction to scale.
        return [.. squares.Zip(lengths, (square, length) => square > 0 ? length / Math.Sqrt(square) : 0)];
    }

    private static void AddScaled(Span<double> sum, ReadOnlySpan<double> values, double factor)
    {
        var sums = MemoryMarshal.Cast<double, Vector<double>>(sum);
        var vectors = MemoryMarshal.Cast<double, Vector<double>>(values);
        for (var i = 0; i < sums.Length; i++)
        {
            sums[i] += vectors[i] * factor;
        }

        for (var i = sums.Length * Vector<double>.Count; i < sum.Length; i++)
        {
            sum[i] += values[i] * factor;
        }
    }

    private static float[] Transposed(AdapterTensor matrix)
    {
        var (rows, columns) = (checked((int)matrix.Shape[0]), checked((int)matrix.Shape[1]));
        var result = new float[matrix.Values.Length];
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < columns; column++)
            {
                result[((long)column * rows) + row] = matrix.Values[((long)row * columns) + column];
            }
        }

        return result;
    }
}
