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
        Refuse(layout, settings);
        var values = AdapterInitialization.Neutral(layout, settings, weights);
        foreach (var (module, a, b) in Factors(layout))
        {
            var (rank, columns, rows) = (checked((int)a.Shape[0]), checked((int)a.Shape[1]), checked((int)b.Shape[0]));
            if (rank > Math.Min(rows, columns))
            {
                throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"'{module}' is [{rows}, {columns}], which has no {rank} singular values. Lower its rank, or use init_lora_weights: true."));
            }

            var weight = new float[checked(rows * columns)];
            weights.ReadFloat32($"{module}{BaseModules.Weight}", weight);
            var start = PrincipalFactors.Of(weight, rows, columns, rank, settings.ScaleOf(module));
            start.A.CopyTo(values.AsSpan(checked((int)a.Offset)));
            start.B.CopyTo(values.AsSpan(checked((int)b.Offset)));
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

    /// <summary>What a run does to its base before it is loaded: null for all starts but this one.</summary>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">What is trained.</param>
    public static Func<IWeightSource, IWeightSource>? ChangeOf(ParameterLayout layout, AdapterSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return settings.Start == LoraStart.Pissa ? weights => Rest(weights, layout, settings, Values(layout, settings, weights)) : null;
    }

    /// <summary>What takes the start out again.</summary>
    private static AdapterFolder Negated(ParameterLayout layout, AdapterSettings settings, ReadOnlySpan<float> initial)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        var modules = ImmutableArray.CreateBuilder<AdaptedModule>();
        foreach (var (module, a, b) in Factors(layout))
        {
            modules.Add(new AdaptedModule(module, false, Tensor(a, initial), Tensor(b, initial), -settings.ScaleOf(module)));
        }

        var none = ImmutableSortedDictionary<string, AdapterTensor>.Empty;
        return new AdapterFolder("the run's start", new JsonObject(), modules.ToImmutable(), none, none);
    }

    private static AdapterTensor Tensor(ParameterEntry entry, ReadOnlySpan<float> values) =>
        new(entry.Shape, values.Slice(checked((int)entry.Offset), checked((int)entry.Length)).ToArray());

    private static IEnumerable<(string Module, ParameterEntry A, ParameterEntry B)> Factors(ParameterLayout layout)
    {
        var entries = layout.Entries.ToDictionary(entry => entry.Name, StringComparer.Ordinal);
        foreach (var a in layout.Entries.Where(entry => entry.Name.EndsWith(AdapterLayout.SuffixA, StringComparison.Ordinal)))
        {
            var module = a.Name[AdapterLayout.Prefix.Length..^AdapterLayout.SuffixA.Length];
            yield return (module, a, entries[$"{AdapterLayout.Prefix}{module}{AdapterLayout.SuffixB}"]);
        }
    }

    private static void Refuse(ParameterLayout layout, AdapterSettings settings)
    {
        var what = settings switch
        {
            { Kind: not AdapterKind.Lora } => "training all weights",
            { Dora: true } => "DoRA, whose lengths do not come apart from the start again",
            _ when layout.Entries.Any(entry => entry.Name.Contains("lora_embedding_", StringComparison.Ordinal)) => "factors on an embedding",
            _ => null,
        };
        if (what is not null)
        {
            throw new DistTuneException(FaultKind.Configuration, $"init_lora_weights: pissa does not go with {what}. Use init_lora_weights: true.");
        }
    }
}
