namespace DistTune.Modeling.Decoders;

/// <summary>
/// Cosines and sines of one set of rotary frequencies, rounded to fp32 where the reference implementation rounds. Grows to the longest
/// position asked for; safe to use from several threads.
/// </summary>
/// <param name="frequencies">Angle of each pair at position 1.</param>
/// <param name="attentionFactor">Factor on cosines and sines.</param>
internal sealed class RotaryAngles(float[] frequencies, double attentionFactor)
{
    private readonly Lock _growing = new();
    private volatile Known _known = new(0, [], []);

    /// <summary>Number of rotated pairs of a head.</summary>
    public int Pairs => frequencies.Length;

    /// <summary>Angle of each pair at position 1.</summary>
    public ReadOnlySpan<float> InverseFrequencies => frequencies;

    /// <summary>Copies the cosines and sines of a position, one of each a pair.</summary>
    public void Copy(int position, Span<float> cosine, Span<float> sine)
    {
        var known = Covering(position + 1);
        known.Cosine.AsSpan(position * Pairs, Pairs).CopyTo(cosine);
        known.Sine.AsSpan(position * Pairs, Pairs).CopyTo(sine);
    }

    /// <summary>The same without rounding to fp32 on the way, for a base that computes in fp64.</summary>
    public void CopyExact(int position, Span<double> cosine, Span<double> sine)
    {
        for (var pair = 0; pair < Pairs; pair++)
        {
            var angle = (double)position * frequencies[pair];
            cosine[pair] = Math.Cos(angle) * attentionFactor;
            sine[pair] = Math.Sin(angle) * attentionFactor;
        }
    }

    private Known Covering(int length)
    {
        if (_known.Length >= length)
        {
            return _known;
        }

        lock (_growing)
        {
            if (_known.Length < length)
            {
                _known = Extend(_known, Math.Max(length, 2 * _known.Length));
            }

            return _known;
        }
    }

    private Known Extend(Known known, int length)
    {
        var size = checked(length * Pairs);
        var cosine = new float[size];
        var sine = new float[size];
        known.Cosine.CopyTo(cosine, 0);
        known.Sine.CopyTo(sine, 0);
        var factor = (float)attentionFactor;
        for (var position = known.Length; position < length; position++)
        {
            for (var pair = 0; pair < Pairs; pair++)
            {
                double angle = position * frequencies[pair];
                cosine[(position * Pairs) + pair] = (float)Math.Cos(angle) * factor;
                sine[(position * Pairs) + pair] = (float)Math.Sin(angle) * factor;
            }
        }

        return new Known(length, cosine, sine);
    }

    private sealed record Known(int Length, float[] Cosine, float[] Sine);
}
