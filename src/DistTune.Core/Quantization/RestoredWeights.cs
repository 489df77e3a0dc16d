using System.Collections.Frozen;
using System.Collections.Immutable;
using DistTune.Core.Formats;
using DistTune.Core.Models;

namespace DistTune.Core.Quantization;

/// <summary>A base's weights as a run over four bits computes with them: what the four bits stand for, and all else as it is stored.</summary>
public sealed class RestoredWeights : IWeightSource
{
    private readonly IWeightSource _source;
    private readonly FourBitSettings _settings;
    private readonly FrozenSet<string> _names;

    private RestoredWeights(IWeightSource source, DecoderSpec spec, FourBitSettings settings)
    {
        _source = source;
        _settings = settings;
        _names = FourBitModules.Of(spec).ToFrozenSet(StringComparer.Ordinal);
    }

    /// <inheritdoc/>
    public ImmutableArray<WeightInfo> Weights => _source.Weights;

    /// <summary>The weights that a run computes with; the source itself where it is in four bits already or the run holds it in full.</summary>
    /// <param name="source">The base; stays its owner's.</param>
    /// <param name="spec">Which weights are linear modules of layers.</param>
    /// <param name="settings">How the run holds those; null for in full.</param>
    public static IWeightSource Of(IWeightSource source, DecoderSpec spec, FourBitSettings? settings)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(spec);
        return settings is null || source is IFourBitWeights ? source : new RestoredWeights(source, spec, settings);
    }

    /// <inheritdoc/>
    public WeightInfo? Find(string name) => _source.Find(name);

    /// <inheritdoc/>
    public void ReadFloat32(string name, Span<float> destination)
    {
        _source.ReadFloat32(name, destination);
        if (!_names.Contains(name) || _source.Find(name) is not { } info)
        {
            return;
        }

        FourBitTensor.RoundTrip(destination, info.Shape, QuantizingWeights.ValueType(info.Type), _settings);
    }

    /// <inheritdoc/>
    public void ReadRaw(string name, Span<byte> destination) => _source.ReadRaw(name, destination);

    /// <inheritdoc/>
    public void Dispose()
    {
        // Nothing is owned: the source stays its owner's.
    }
}
