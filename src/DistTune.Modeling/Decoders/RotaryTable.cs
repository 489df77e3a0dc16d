using DistTune.Core.Models;

namespace DistTune.Modeling.Decoders;

/// <summary>
/// Cosines and sines of rotary angles. For most kinds they follow from the position; for some also from how long the longest sequence
/// is that is computed together, which the caller says. Safe to use from several threads.
/// </summary>
internal sealed class RotaryTable
{
    private readonly RotarySpec _spec;
    private readonly RotaryAngles _usual;
    private readonly RotaryAngles? _beyond;

    /// <summary>Prepares the frequencies.</summary>
    public RotaryTable(RotarySpec spec)
    {
        _spec = spec;
        _usual = new RotaryAngles(RotaryFrequencies.Usual(spec), RotaryFrequencies.AttentionFactor(spec));
        _beyond = spec.Scaling is LongRotaryScaling ? new RotaryAngles(RotaryFrequencies.Beyond(spec, int.MaxValue), RotaryFrequencies.AttentionFactor(spec)) : null;
    }

    /// <summary>Number of rotated pairs of a head.</summary>
    public int Pairs => _usual.Pairs;

    /// <summary>
    /// Names the set of frequencies that a length has: what was rotated for one length serves another if both have the same. 0 is the
    /// usual set.
    /// </summary>
    public int Regime(int length) => _spec.Scaling switch
    {
        LongRotaryScaling scaling when length > scaling.OriginalMaxPositions => 1,
        DynamicRotaryScaling scaling when length > scaling.OriginalMaxPositions => length,
        _ => 0,
    };

    /// <summary>The angles of sequences of which the longest has <paramref name="length"/> positions.</summary>
    public RotaryAngles At(int length) => Regime(length) switch
    {
        0 => _usual,
        // Few callers come back with the same length, so these are not kept.
        _ => _beyond ?? new RotaryAngles(RotaryFrequencies.Beyond(_spec, length), RotaryFrequencies.AttentionFactor(_spec)),
    };
}
