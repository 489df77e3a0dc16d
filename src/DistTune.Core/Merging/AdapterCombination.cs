using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Nodes;

namespace DistTune.Core.Merging;

/// <summary>How several adapters become one.</summary>
public enum CombinationKind
{
    /// <summary>Factors are concatenated: exactly the weighted sum of what the adapters add, of the sum of their ranks.</summary>
    Cat,

    /// <summary>
    /// Factors are averaged: A = sum of sign(w s) sqrt(|w s|) A_i, B = sum of sqrt(|w s|) B_i. The rank stays, and the products of one
    /// adapter's A with another's B come in besides.
    /// </summary>
    Linear,
}

/// <summary>Combines adapters of one base into one, as PEFT's add_weighted_adapter does.</summary>
public static class AdapterCombination
{
    /// <summary>Combines adapters; modules that some of them lack count as nothing there.</summary>
    /// <param name="adapters">The adapters with their weights, at least one.</param>
    /// <param name="kind">How.</param>
    /// <returns>An adapter of scale 1.</returns>
    /// <exception cref="DistTuneException">An adapter holds more than factors, or ranks or shapes do not go together.</exception>
    public static AdapterFolder Combine(IReadOnlyList<(AdapterFolder Adapter, double Weight)> adapters, CombinationKind kind)
    {
        ArgumentNullException.ThrowIfNull(adapters);
        ArgumentOutOfRangeException.ThrowIfZero(adapters.Count);
        foreach (var (adapter, weight) in adapters)
        {
            RefuseMoreThanFactors(adapter);
            if (!double.IsFinite(weight))
            {
                throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"The weight of '{adapter.Origin}' must be finite, got {weight}. Correct it."));
            }
        }

        var names = adapters.SelectMany(item => item.Adapter.Modules.Select(module => module.Name)).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal);
        var modules = names.Select(name => kind == CombinationKind.Cat ? Concatenate(name, adapters) : Average(name, adapters)).ToImmutableArray();
        var rank = modules.Select(module => module.Rank).DefaultIfEmpty(1).Max();
        modules = [.. modules.Select(module => AdapterFactors.Pad(module, rank))];
        var origin = string.Join(" + ", adapters.Select(item => string.Create(CultureInfo.InvariantCulture, $"{item.Weight} * {item.Adapter.Origin}")));
        var bases = adapters.SelectMany(item => item.Adapter.BaseWeights).DistinctBy(pair => pair.Key).ToImmutableSortedDictionary(StringComparer.Ordinal);
        return new AdapterFolder(origin, Configuration(adapters.Select(item => item.Adapter).ToList(), modules, rank), modules, ImmutableSortedDictionary<string, AdapterTensor>.Empty, bases);
    }

    private static AdaptedModule Concatenate(string name, IReadOnlyList<(AdapterFolder Adapter, double Weight)> adapters)
    {
        AdaptedModule? sum = null;
        foreach (var (module, weight) in Parts(name, adapters))
        {
            var next = module with { A = AdapterFactors.Times(module.A, weight * module.Scale), Scale = 1 };
            sum = sum is null ? next : AdapterFactors.Stack(sum, next);
        }

        return sum!;
    }

    private static AdaptedModule Average(string name, IReadOnlyList<(AdapterFolder Adapter, double Weight)> adapters)
    {
        AdaptedModule? sum = null;
        foreach (var (module, weight) in Parts(name, adapters))
        {
            var strength = weight * module.Scale;
            var root = Math.Sqrt(Math.Abs(strength));
            var next = module with { A = AdapterFactors.Times(module.A, Math.Sign(strength) * root), B = AdapterFactors.Times(module.B, root), Scale = 1 };
            if (sum is not null && sum.Rank != next.Rank)
            {
                throw new DistTuneException(
                    FaultKind.Configuration,
                    FormattableString.Invariant($"A linear combination needs equal ranks; '{name}' has {sum.Rank} and {next.Rank}. Use the combination 'cat'."));
            }

            sum = sum is null ? next : AdapterFactors.Add(sum, next);
        }

        return sum!;
    }

    private static IEnumerable<(AdaptedModule Module, double Weight)> Parts(string name, IReadOnlyList<(AdapterFolder Adapter, double Weight)> adapters)
    {
        AdaptedModule? first = null;
        foreach (var (adapter, weight) in adapters)
        {
            if (adapter.Modules.FirstOrDefault(module => module.Name == name) is not { } found)
            {
                continue;
            }

            first ??= found;
            if (found.IsEmbedding != first.IsEmbedding || !found.WeightShape.SequenceEqual(first.WeightShape))
            {
                throw new DistTuneException(
                    FaultKind.Configuration,
                    $"'{name}' has shape [{string.Join(", ", found.WeightShape)}] in '{adapter.Origin}' and [{string.Join(", ", first.WeightShape)}] in another. Combine adapters of one base.");
            }

            yield return (found, weight);
        }
    }

    private static void RefuseMoreThanFactors(AdapterFolder adapter)
    {
        var what = adapter switch
        {
            { ChangedBase: { } start } => $"started as '{start}', which changed its base",
            _ when adapter.Modules.Any(module => module.Magnitude is not null) => "is a DoRA, whose magnitudes do not add up",
            _ when adapter.Modules.Any(module => module.BiasOfB is not null) => "has biases in its factors",
            _ when adapter.Replaced.Keys.FirstOrDefault() is { } name => $"holds '{name}' itself, of which there can be only one",
            _ => null,
        };
        if (what is not null)
        {
            throw new DistTuneException(FaultKind.Configuration, $"'{adapter.Origin}' cannot be combined: it {what}. Merge it into the base by itself.");
        }
    }

    private static JsonObject Configuration(List<AdapterFolder> adapters, ImmutableArray<AdaptedModule> modules, int rank)
    {
        var config = adapters[0].Config.DeepClone().AsObject();
        var same = adapters.TrueForAll(adapter => AdapterFactors.SelectsAlike(adapter.Config, config));
        AdapterFactors.SetScale(config, rank, rank);
        if (!same)
        {
            AdapterFactors.SetTargets(config, modules.Select(module => module.Name));
        }

        return config;
    }
}
