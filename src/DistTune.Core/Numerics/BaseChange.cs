using DistTune.Core.Formats;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Numerics;

/// <summary>
/// What a run's start makes of its base before it is loaded, or before four bits are made of it. It follows from base and settings
/// alone, bit for bit, so that whoever holds the base makes it itself and nothing of it travels.
/// </summary>
/// <param name="Tag">Tells it apart from other changes of the same base.</param>
/// <param name="Apply">The changed weights over the original ones. Who disposes of both may do so in any order; disposing of the changed ones may dispose of the original.</param>
public sealed record BaseChange(string Tag, Func<IWeightSource, IWeightSource> Apply)
{
    /// <summary>The change that a run makes; null for starts that leave the base as it is.</summary>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">What is trained.</param>
    /// <param name="quantization">How the base is held in four bits; null for in full.</param>
    public static BaseChange? Of(ParameterLayout layout, AdapterSettings settings, FourBitSettings? quantization)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return settings.Start switch
        {
            LoraStart.Pissa => new BaseChange("pissa", weights => PissaStart.Rest(weights, layout, settings, PissaStart.Values(layout, settings, weights))),
            LoraStart.Loftq when quantization is not null && settings.LoftqIterations > 1 =>
                new BaseChange(LoftqStart.Tag(layout, settings), weights => new LoftqRemainder(weights, layout, settings, quantization)),
            _ => null,
        };
    }
}
