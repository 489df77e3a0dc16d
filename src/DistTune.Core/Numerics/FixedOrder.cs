using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTune.Core.Numerics;

/// <summary>
/// Vector arithmetic in double precision whose order of addition is written down: eight running sums, whatever the processor's vector
/// width, products rounded before they are added. The same numbers give the same bits everywhere.
/// </summary>
internal static class FixedOrder
{
    private const int Lanes = 4;

    /// <summary>The inner product.</summary>
    public static double Dot(ReadOnlySpan<double> one, ReadOnlySpan<double> other)
    {
        other = other[..one.Length];
        var (first, second) = (Vector256<double>.Zero, Vector256<double>.Zero);
        var i = 0;
        for (; i <= one.Length - (2 * Lanes); i += 2 * Lanes)
        {
            first += Vector256.Create(one[i..]) * Vector256.Create(other[i..]);
            second += Vector256.Create(one[(i + Lanes)..]) * Vector256.Create(other[(i + Lanes)..]);
        }

        var sums = first + second;
        var sum = sums[0] + sums[1] + (sums[2] + sums[3]);
        for (; i < one.Length; i++)
        {
            sum += one[i] * other[i];
        }

        return sum;
    }

    /// <summary>The inner product of a row in fp32 with a vector.</summary>
    public static double Dot(ReadOnlySpan<float> one, ReadOnlySpan<double> other)
    {
        other = other[..one.Length];
        var (first, second) = (Vector256<double>.Zero, Vector256<double>.Zero);
        var i = 0;
        for (; i <= one.Length - (2 * Lanes); i += 2 * Lanes)
        {
            var (low, high) = Vector256.Widen(Vector256.Create(one[i..]));
            first += low * Vector256.Create(other[i..]);
            second += high * Vector256.Create(other[(i + Lanes)..]);
        }

        var sums = first + second;
        var sum = sums[0] + sums[1] + (sums[2] + sums[3]);
        for (; i < one.Length; i++)
        {
            sum += one[i] * other[i];
        }

        return sum;
    }

    /// <summary>The Euclidean length.</summary>
    public static double Length(ReadOnlySpan<double> vector) => Math.Sqrt(Dot(vector, vector));

    /// <summary>into += factor * values.</summary>
    public static void AddScaled(Span<double> into, ReadOnlySpan<double> values, double factor)
    {
        var sums = MemoryMarshal.Cast<double, Vector256<double>>(into);
        var vectors = MemoryMarshal.Cast<double, Vector256<double>>(values[..into.Length]);
        for (var i = 0; i < sums.Length; i++)
        {
            sums[i] += vectors[i] * factor;
        }

        for (var i = sums.Length * Lanes; i < into.Length; i++)
        {
            into[i] += values[i] * factor;
        }
    }

    /// <summary>into += factor * values, of a row in fp32.</summary>
    public static void AddScaled(Span<double> into, ReadOnlySpan<float> values, double factor)
    {
        values = values[..into.Length];
        var i = 0;
        for (; i <= into.Length - (2 * Lanes); i += 2 * Lanes)
        {
            var (low, high) = Vector256.Widen(Vector256.Create(values[i..]));
            (Vector256.Create<double>(into[i..]) + (low * factor)).CopyTo(into[i..]);
            (Vector256.Create<double>(into[(i + Lanes)..]) + (high * factor)).CopyTo(into[(i + Lanes)..]);
        }

        for (; i < into.Length; i++)
        {
            into[i] += values[i] * factor;
        }
    }

    /// <summary>vector *= factor.</summary>
    public static void Scale(Span<double> vector, double factor)
    {
        foreach (ref var value in vector)
        {
            value *= factor;
        }
    }

    /// <summary>(one, other) = (c one - s other, s one + c other).</summary>
    public static void Rotate(Span<double> one, Span<double> other, double cosine, double sine)
    {
        var ones = MemoryMarshal.Cast<double, Vector256<double>>(one);
        var others = MemoryMarshal.Cast<double, Vector256<double>>(other);
        for (var i = 0; i < ones.Length; i++)
        {
            var (x, y) = (ones[i], others[i]);
            ones[i] = (x * cosine) - (y * sine);
            others[i] = (x * sine) + (y * cosine);
        }

        for (var i = ones.Length * Lanes; i < one.Length; i++)
        {
            var (x, y) = (one[i], other[i]);
            one[i] = (x * cosine) - (y * sine);
            other[i] = (x * sine) + (y * cosine);
        }
    }
}
