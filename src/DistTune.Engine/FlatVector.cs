using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTune.Engine;

/// <summary>Element-wise work on flat fp32 vectors. Each operation is correctly rounded, so the vector width does not show.</summary>
internal static class FlatVector
{
    /// <summary>Adds <paramref name="right"/> to <paramref name="left"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddTo(Span<float> left, ReadOnlySpan<float> right)
    {
        var leftVectors = MemoryMarshal.Cast<float, Vector<float>>(left);
        var rightVectors = MemoryMarshal.Cast<float, Vector<float>>(right[..left.Length]);
        for (var i = 0; i < leftVectors.Length; i++)
        {
            leftVectors[i] += rightVectors[i];
        }

        for (var i = leftVectors.Length * Vector<float>.Count; i < left.Length; i++)
        {
            left[i] += right[i];
        }
    }

    /// <summary>Divides every element.</summary>
    /// <param name="values">The dividends.</param>
    /// <param name="divisor">The divisor.</param>
    /// <param name="quotients">Takes the quotients; may be the same memory.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Divide(ReadOnlySpan<float> values, float divisor, Span<float> quotients)
    {
        var vectors = MemoryMarshal.Cast<float, Vector<float>>(values);
        var results = MemoryMarshal.Cast<float, Vector<float>>(quotients[..values.Length]);
        var divisors = new Vector<float>(divisor);
        for (var i = 0; i < vectors.Length; i++)
        {
            results[i] = vectors[i] / divisors;
        }

        for (var i = vectors.Length * Vector<float>.Count; i < values.Length; i++)
        {
            quotients[i] = values[i] / divisor;
        }
    }

    /// <summary>Index of the first NaN or infinity, or -1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int IndexOfNonFinite(ReadOnlySpan<float> values)
    {
        // Exponent bits all set is what NaN and infinity share; signs masked away, both compare at or above infinity as integers.
        var bits = MemoryMarshal.Cast<float, int>(values);
        var vectors = MemoryMarshal.Cast<int, Vector<int>>(bits);
        var magnitude = new Vector<int>(0x7FFF_FFFF);
        var infinity = new Vector<int>(0x7F80_0000);
        var whole = vectors.Length * Vector<int>.Count;
        for (var i = 0; i < vectors.Length; i++)
        {
            if (Vector.GreaterThanOrEqualAny(vectors[i] & magnitude, infinity))
            {
                whole = i * Vector<int>.Count;
                break;
            }
        }

        for (var i = whole; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
            {
                return i;
            }
        }

        return -1;
    }
}
