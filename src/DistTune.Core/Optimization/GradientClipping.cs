using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace DistTune.Core.Optimization;

/// <summary>
/// The global norm of a gradient and the factor that brings it down to a bound. The sum of squares is taken in double over blocks of
/// a fixed length and eight fixed lanes, added in order, so it is the same bits on any hardware.
/// </summary>
public static class GradientClipping
{
    /// <summary>Floats in a block of the sum.</summary>
    public const int BlockLength = 4096;

    private const int Lanes = 8;

    /// <summary>L2 norm over the whole vector. NaN or infinite if an element is.</summary>
    public static double Norm(ReadOnlySpan<float> gradient)
    {
        var total = 0.0;
        for (var start = 0; start < gradient.Length; start += BlockLength)
        {
            total += SumOfSquares(gradient.Slice(start, Math.Min(BlockLength, gradient.Length - start)));
        }

        return Math.Sqrt(total);
    }

    /// <summary>The factor on every gradient: min(1, maximum / (norm + 1e-6)), as torch has it; 1 when nothing is clipped.</summary>
    /// <param name="norm">The global norm.</param>
    /// <param name="maximum">The bound; null never clips.</param>
    public static double Factor(double norm, double? maximum) =>
        maximum is { } bound ? Math.Min(1.0, bound / (norm + 1e-6)) : 1.0;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double SumOfSquares(ReadOnlySpan<float> block)
    {
        var low = Vector256<double>.Zero;
        var high = Vector256<double>.Zero;
        var whole = block.Length - (block.Length % Lanes);
        for (var i = 0; i < whole; i += Lanes)
        {
            var (a, b) = Vector256.Widen(Vector256.Create(block.Slice(i, Lanes)));
            low += a * a;
            high += b * b;
        }

        var total = 0.0;
        for (var lane = 0; lane < Lanes / 2; lane++)
        {
            total += low[lane];
        }

        for (var lane = 0; lane < Lanes / 2; lane++)
        {
            total += high[lane];
        }

        for (var i = whole; i < block.Length; i++)
        {
            total += (double)block[i] * block[i];
        }

        return total;
    }
}
