using System.Collections.Immutable;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Core.Training;

namespace DistTune.Core.Numerics;

/// <summary>
/// PiSSA (Meng et al. 2024, arXiv:2404.02948): the factors start as the base's principal part, A = sqrt(S / s) V^T and B = U sqrt(S / s),
/// and the base keeps the rest, W - s B A. Both follow from the base and the settings alone, bit for bit, so that whoever holds the base
/// makes them itself and nothing of it travels.
/// </summary>
public static class PissaStart
{
    /// <summary>The adapter that a run starts from.</summary>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">What is trained.</param>
    /// <param name="weights">The original base.</param>
    /// <exception cref="DistTuneException">An adapted module is no linear one, or its rank is more than its weight can have.</exception>
    public static float[] Values(ParameterLayout layout, AdapterSettings settings, IWeightSource weights)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(weights);
        FactorPair.RequirePlain("pissa", layout, settings);
        var values = AdapterInitialization.Neutral(layout, settings, weights);
        foreach (var pair in FactorPair.Of(layout))
        {
            pair.RequireRank();
            var weight = new float[checked(pair.Rows * pair.Columns)];
            weights.ReadFloat32(pair.Weight, weight);
            var start = PrincipalFactors.Of(weight, pair.Rows, pair.Columns, pair.Rank, settings.ScaleOf(pair.Module));
            start.A.CopyTo(values.AsSpan(checked((int)pair.A.Offset)));
            start.B.CopyTo(values.AsSpan(checked((int)pair.B.Offset)));
        }

        return values;
    }

    /// <summary>The base that is left beside the adapter that a run starts from.</summary>
    /// <param name="weights">The original base; stays its owner's.</param>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">What is trained.</param>
    /// <param name="initial">The adapter at the start.</param>
    public static IWeightSource Rest(IWeightSource weights, ParameterLayout layout, AdapterSettings settings, ReadOnlySpan<float> initial)
    {
        ArgumentNullException.ThrowIfNull(weights);
        return new MergedWeights(weights, tied: false, Negated(layout, settings, initial));
    }

    /// <summary>What takes the start out again.</summary>
    private static AdapterFolder Negated(ParameterLayout layout, AdapterSettings settings, ReadOnlySpan<float> initial)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        var modules = ImmutableArray.CreateBuilder<AdaptedModule>();
        foreach (var pair in FactorPair.Of(layout))
        {
            modules.Add(new AdaptedModule(pair.Module, false, Tensor(pair.A, initial), Tensor(pair.B, initial), -settings.ScaleOf(pair.Module)));
        }

        var none = ImmutableSortedDictionary<string, AdapterTensor>.Empty;
        return new AdapterFolder("the run's start", new JsonObject(), modules.ToImmutable(), none, none);
    }

    private static AdapterTensor Tensor(ParameterEntry entry, ReadOnlySpan<float> values) =>
        new(entry.Shape, values.Slice(checked((int)entry.Offset), checked((int)entry.Length)).ToArray());
}
