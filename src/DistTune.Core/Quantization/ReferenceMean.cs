using System.Numerics;
using System.Runtime.Intrinsics;

namespace DistTune.Core.Quantization;

/// <summary>
/// The mean of fp32 values as torch adds them up on a processor with vectors of eight: rows of vectors in four columns, each column in a
/// cascade of partial sums. Double quantisation stores the mean of the scales, so its last bit shows in every file.
/// </summary>
internal static class ReferenceMean
{
    private const int Columns = 4;
    private const int Levels = 4;
    private const int LeastLevelPower = 4;
    private const int Width = 8;

    /// <summary>The mean; values must not be empty.</summary>
    public static float Of(ReadOnlySpan<float> values)
    {
        var vectors = values.Length / Width;
        var lanes = SumOfVectors(values[..(vectors * Width)], vectors);
        var sum = 0f;
        foreach (var value in values[(vectors * Width)..])
        {
            sum += value;
        }

        for (var lane = 0; lane < Width; lane++)
        {
            sum += lanes[lane];
        }

        return sum / values.Length;
    }

    private static Vector256<float> SumOfVectors(ReadOnlySpan<float> values, int count)
    {
        var rows = count / Columns;
        Span<Vector256<float>> sums = stackalloc Vector256<float>[Levels * Columns];
        sums.Clear();
        Cascade(values, rows, sums);
        for (var rest = rows * Columns; rest < count; rest++)
        {
            sums[0] += Load(values, rest);
        }

        for (var column = 1; column < Columns; column++)
        {
            sums[0] += sums[column];
        }

        return sums[0];
    }

    // Level by level: a level's sums are moved up when they have taken in as many as a step has.
    private static void Cascade(ReadOnlySpan<float> values, int rows, Span<Vector256<float>> sums)
    {
        var power = Math.Max(LeastLevelPower, (rows <= 2 ? 1 : BitOperations.Log2((uint)(rows - 1)) + 1) / Levels);
        var step = 1 << power;
        var row = 0;
        while (row + step <= rows)
        {
            for (var end = row + step; row < end; row++)
            {
                AddRow(values, row, sums);
            }

            for (var level = 1; level < Levels; level++)
            {
                for (var column = 0; column < Columns; column++)
                {
                    sums[(level * Columns) + column] += sums[((level - 1) * Columns) + column];
                    sums[((level - 1) * Columns) + column] = Vector256<float>.Zero;
                }

                if ((row & ((step - 1) << (level * power))) != 0)
                {
                    break;
                }
            }
        }

        for (; row < rows; row++)
        {
            AddRow(values, row, sums);
        }

        for (var index = Columns; index < sums.Length; index++)
        {
            sums[index % Columns] += sums[index];
        }
    }

    private static void AddRow(ReadOnlySpan<float> values, int row, Span<Vector256<float>> sums)
    {
        for (var column = 0; column < Columns; column++)
        {
            sums[column] += Load(values, (row * Columns) + column);
        }
    }

    private static Vector256<float> Load(ReadOnlySpan<float> values, int index) => Vector256.Create(values.Slice(index * Width, Width));
}
