using System.Diagnostics;
using DistTune.Core.Models;

namespace DistTune.Modeling.Decoders;

/// <summary>The angle of each rotary pair at position 1, in fp32 arithmetic as the reference implementation has it; one case a kind.</summary>
internal static class RotaryFrequencies
{
    /// <summary>Factor on cosines and sines.</summary>
    public static double AttentionFactor(RotarySpec spec) => spec.Scaling switch
    {
        LongRotaryScaling scaling => scaling.AttentionFactor,
        YarnRotaryScaling scaling => scaling.AttentionFactor,
        _ => 1,
    };

    /// <summary>The frequencies of sequences no longer than the original length.</summary>
    public static float[] Usual(RotarySpec spec) => spec.Scaling switch
    {
        null or DynamicRotaryScaling => Plain(spec.Theta, spec.Dimensions),
        LinearRotaryScaling linear => Map(spec, (_, frequency) => frequency / (float)linear.Factor),
        Llama3RotaryScaling llama3 => Map(spec, (_, frequency) => Llama3(frequency, llama3)),
        LongRotaryScaling scaling => Divided(spec, scaling.ShortFactors.AsSpan()),
        YarnRotaryScaling yarn => Yarn(spec, yarn),
        _ => throw Unknown(spec.Scaling),
    };

    /// <summary>The frequencies once the longest sequence has outgrown the original length.</summary>
    public static float[] Beyond(RotarySpec spec, int length) => spec.Scaling switch
    {
        LongRotaryScaling scaling => Divided(spec, scaling.LongFactors.AsSpan()),
        DynamicRotaryScaling scaling => Plain(Grown(spec, scaling, length), spec.Dimensions),
        _ => throw Unknown(spec.Scaling),
    };

    private static UnreachableException Unknown(RotaryScaling? scaling) => new($"No frequencies for the rotary scaling {scaling?.GetType().Name}.");

    private static float Power(double theta, int pair, int dimensions) => (float)Math.Pow(theta, 2f * pair / dimensions);

    private static float[] Plain(double theta, int dimensions)
    {
        var frequencies = new float[dimensions / 2];
        for (var pair = 0; pair < frequencies.Length; pair++)
        {
            frequencies[pair] = 1f / Power(theta, pair, dimensions);
        }

        return frequencies;
    }

    private static float[] Map(RotarySpec spec, Func<int, float, float> change)
    {
        var frequencies = Plain(spec.Theta, spec.Dimensions);
        for (var pair = 0; pair < frequencies.Length; pair++)
        {
            frequencies[pair] = change(pair, frequencies[pair]);
        }

        return frequencies;
    }

    private static float[] Divided(RotarySpec spec, ReadOnlySpan<float> factors)
    {
        var frequencies = new float[factors.Length];
        for (var pair = 0; pair < frequencies.Length; pair++)
        {
            frequencies[pair] = 1f / (factors[pair] * Power(spec.Theta, pair, spec.Dimensions));
        }

        return frequencies;
    }

    // The base with which the lowest frequency is stretched by how far the length has grown.
    private static double Grown(RotarySpec spec, DynamicRotaryScaling scaling, int length)
    {
        var growth = (scaling.Factor * length / scaling.OriginalMaxPositions) - (scaling.Factor - 1);
        return spec.Dimensions > 2 ? (float)(spec.Theta * Math.Pow(growth, spec.Dimensions / (spec.Dimensions - 2.0))) : spec.Theta;
    }

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

    private static float[] Yarn(RotarySpec spec, YarnRotaryScaling scaling)
    {
        var (low, high) = (Bound(scaling.BetaFast), Bound(scaling.BetaSlow));
        if (scaling.Truncate)
        {
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        }

        (low, high) = (Math.Max(low, 0), Math.Min(high, spec.Dimensions - 1));
        // A blend of no width would divide by zero.
        high += low == high ? 0.001 : 0;
        var frequencies = new float[spec.Dimensions / 2];
        for (var pair = 0; pair < frequencies.Length; pair++)
        {
            var power = Power(spec.Theta, pair, spec.Dimensions);
            var divided = Math.Clamp((float)((pair - low) / (high - low)), 0f, 1f);
            var kept = 1 - divided;
            frequencies[pair] = (1f / ((float)scaling.Factor * power) * (1 - kept)) + (1f / power * kept);
        }

        return frequencies;

        // The pair that turns so many times within the original length.
        double Bound(double rotations) =>
            spec.Dimensions * Math.Log(scaling.OriginalMaxPositions / (rotations * 2 * Math.PI)) / (2 * Math.Log(spec.Theta));
    }
}
