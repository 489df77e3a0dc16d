using System.Diagnostics;
using DistTune.Core.Models;

namespace DistTune.Modeling.Decoders;

/// <summary>
/// Cosines and sines of rotary angles (Su et al. 2021, arXiv:2104.09864), rounded to fp32 where the reference implementation rounds.
/// Grows to the longest position asked for; safe to use from several threads.
/// </summary>
internal sealed class RotaryTable
{
    private readonly float[] _frequencies;
    private readonly Lock _growing = new();
    private volatile Angles _angles = new(0, [], []);

    /// <summary>Prepares the frequencies.</summary>
    public RotaryTable(RotarySpec spec) => _frequencies = Frequencies(spec);

    /// <summary>Number of rotated pairs of a head.</summary>
    public int Pairs => _frequencies.Length;

    /// <summary>Angle of each pair at position 1.</summary>
    public ReadOnlySpan<float> InverseFrequencies => _frequencies;

    /// <summary>Cosines and sines of the given positions, [positions, pairs] each.</summary>
    public (float[] Cosine, float[] Sine) Rows(ReadOnlySpan<int> positions)
    {
        var longest = 0;
        foreach (var position in positions)
        {
            longest = Math.Max(longest, position + 1);
        }

        var angles = Covering(longest);
        var cosine = new float[positions.Length * Pairs];
        var sine = new float[positions.Length * Pairs];
        for (var row = 0; row < positions.Length; row++)
        {
            var source = positions[row] * Pairs;
            angles.Cosine.AsSpan(source, Pairs).CopyTo(cosine.AsSpan(row * Pairs));
            angles.Sine.AsSpan(source, Pairs).CopyTo(sine.AsSpan(row * Pairs));
        }

        return (cosine, sine);
    }

    /// <summary>Cosines and sines without rounding to fp32 on the way, for a base that computes in fp64.</summary>
    public (double[] Cosine, double[] Sine) ExactRows(ReadOnlySpan<int> positions)
    {
        var cosine = new double[positions.Length * Pairs];
        var sine = new double[positions.Length * Pairs];
        for (var index = 0; index < cosine.Length; index++)
        {
            var angle = (double)positions[index / Pairs] * _frequencies[index % Pairs];
            cosine[index] = Math.Cos(angle);
            sine[index] = Math.Sin(angle);
        }

        return (cosine, sine);
    }

    private static float[] Frequencies(RotarySpec spec)
    {
        var frequencies = new float[spec.Dimensions / 2];
        for (var pair = 0; pair < frequencies.Length; pair++)
        {
            var exponent = 2f * pair / spec.Dimensions;
            frequencies[pair] = Scale(1f / (float)Math.Pow(spec.Theta, exponent), spec.Scaling);
        }

        return frequencies;
    }

    private static float Scale(float frequency, RotaryScaling? scaling) => scaling switch
    {
        null => frequency,
        LinearRotaryScaling linear => frequency / (float)linear.Factor,
        Llama3RotaryScaling llama3 => Llama3(frequency, llama3),
        _ => throw new UnreachableException($"No frequencies for the rotary scaling {scaling.GetType().Name}."),
    };

    // Long waves are stretched by the factor, short ones stay, and those between are blended.
    private static float Llama3(float frequency, Llama3RotaryScaling scaling)
    {
        var wavelength = (float)(2 * Math.PI) / frequency;
        var original = (float)scaling.OriginalMaxPositions;
        if (wavelength > original / scaling.LowFrequencyFactor)
        {
            return frequency / (float)scaling.Factor;
        }

        if (wavelength < original / scaling.HighFrequencyFactor)
        {
            return frequency;
        }

        var smooth = ((original / wavelength) - (float)scaling.LowFrequencyFactor) / (float)(scaling.HighFrequencyFactor - scaling.LowFrequencyFactor);
        return ((1 - smooth) * frequency / (float)scaling.Factor) + (smooth * frequency);
    }

    private Angles Covering(int length)
    {
        if (_angles.Length >= length)
        {
            return _angles;
        }

        lock (_growing)
        {
            if (_angles.Length < length)
            {
                _angles = Extend(_angles, Math.Max(length, 2 * _angles.Length));
            }

            return _angles;
        }
    }

    private Angles Extend(Angles known, int length)
    {
        var size = checked(length * Pairs);
        var cosine = new float[size];
        var sine = new float[size];
        known.Cosine.CopyTo(cosine, 0);
        known.Sine.CopyTo(sine, 0);
        for (var position = known.Length; position < length; position++)
        {
            for (var pair = 0; pair < Pairs; pair++)
            {
                double angle = position * _frequencies[pair];
                cosine[(position * Pairs) + pair] = (float)Math.Cos(angle);
                sine[(position * Pairs) + pair] = (float)Math.Sin(angle);
            }
        }

        return new Angles(length, cosine, sine);
    }

    private sealed record Angles(int Length, float[] Cosine, float[] Sine);
}
