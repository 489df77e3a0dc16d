using System.Collections.Frozen;
using System.Collections.Immutable;
using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Numerics;

/// <summary>
/// What LoftQ's last iteration makes four bits of: W less the factors of the iteration before. The modules' weights are for quantising
/// only. Not for several threads at once.
/// </summary>
internal sealed class LoftqRemainder : IWeightSource
{
    private readonly IWeightSource _source;
    private readonly AdapterSettings _settings;
    private readonly FourBitSettings _quantization;
    private readonly FrozenDictionary<string, FactorPair> _pairs;
    private readonly Dictionary<string, PrincipalFactors> _factors = new(StringComparer.Ordinal);

    /// <param name="source">The original base, in full; disposed of with this.</param>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">What is trained; of more than one iteration.</param>
    /// <param name="quantization">How the base is held in four bits.</param>
    public LoftqRemainder(IWeightSource source, ParameterLayout layout, AdapterSettings settings, FourBitSettings quantization)
    {
        LoftqStart.RequireFull(source);
        _source = source;
        _settings = settings;
        _quantization = quantization;
        _pairs = FactorPair.Of(layout).ToFrozenDictionary(pair => pair.Weight, StringComparer.Ordinal);
    }

    /// <inheritdoc/>
    public ImmutableArray<WeightInfo> Weights => _source.Weights;

    /// <inheritdoc/>
    public WeightInfo? Find(string name) => _source.Find(name);

    /// <inheritdoc/>
    public void ReadFloat32(string name, Span<float> destination)
    {
        _source.ReadFloat32(name, destination);
        if (_pairs.TryGetValue(name, out var pair) && IsQuantized(pair))
        {
            LoftqFactors.Subtract(FactorsOf(pair, destination), pair.Rows, pair.Columns, pair.Rank, _settings.ScaleOf(pair.Module), destination);
        }
    }

    /// <inheritdoc/>
    public void ReadRaw(string name, Span<byte> destination) => _source.ReadRaw(name, destination);

    /// <inheritdoc/>
    public void Dispose() => _source.Dispose();

    // The head keeps its precision.
    private static bool IsQuantized(FactorPair pair) => pair.Module != BaseModules.Head;

    // Small beside the weight, and a weight may be read more than once.
    private PrincipalFactors FactorsOf(FactorPair pair, ReadOnlySpan<float> weight)
    {
        if (!_factors.TryGetValue(pair.Weight, out var factors))
        {
            factors = LoftqStart.Factors(pair, weight.ToArray(), _settings, _quantization, _source.Find(pair.Weight)!.Type, _settings.LoftqIterations - 1);
            _factors.Add(pair.Weight, factors);
        }

        return factors;
    }
}
