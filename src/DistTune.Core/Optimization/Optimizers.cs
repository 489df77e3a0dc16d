using DistTune.Core.Training;

namespace DistTune.Core.Optimization;

/// <summary>The optimizers by their settings.</summary>
public static class Optimizers
{
    /// <summary>Creates the optimizer of a run; its moments are zero.</summary>
    public static IOptimizer Create(ParameterLayout layout, OptimizerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return settings.EightBit ? new AdamW8Bit(layout, settings) : new AdamW(layout, settings);
    }

    /// <summary>Floats that each of its two moments takes.</summary>
    public static long MomentLength(ParameterLayout layout, OptimizerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        return settings.EightBit ? layout.Entries.Sum(entry => AdamW8Bit.MomentLength(entry.Length)) : layout.Length;
    }
}
