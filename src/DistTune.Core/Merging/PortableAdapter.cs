using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace DistTune.Core.Merging;

/// <summary>
/// The form of an adapter that most programs take: one rank and one alpha for all modules, scale alpha / rank, no patterns, no rsLoRA.
/// It adds exactly the same to the base.
/// </summary>
public static class PortableAdapter
{
    /// <summary>Folds scales into B and pads ranks with zeros where modules differ.</summary>
    /// <exception cref="DistTuneException">The adapter holds what no rewriting makes portable; the message says what, and to merge it.</exception>
    public static AdapterFolder Of(AdapterFolder adapter)
    {
        ArgumentNullException.ThrowIfNull(adapter);
        Refuse(adapter);
        var rank = adapter.Modules.Max(module => module.Rank);
        // The most frequent scale stays outside, so that in the usual case the factors keep their values.
        var scale = adapter.Modules.GroupBy(module => module.Scale).OrderByDescending(group => group.Count()).ThenByDescending(group => group.Key).First().Key;
        var modules = adapter.Modules.Select(module => Folded(module, rank, scale)).ToImmutableArray();
        var config = adapter.Config.DeepClone().AsObject();
        AdapterFactors.SetScale(config, rank, scale * rank);
        config["init_lora_weights"] = true;
        if (config["target_modules"] is not JsonArray)
        {
            AdapterFactors.SetTargets(config, modules.Select(module => module.Name));
        }

        return new AdapterFolder(adapter.Origin, config, modules, adapter.Replaced, adapter.BaseWeights);
    }

    private static AdaptedModule Folded(AdaptedModule module, int rank, double scale)
    {
        var padded = AdapterFactors.Pad(module, rank);
        return padded with { B = AdapterFactors.Times(padded.B, module.Scale / scale), Scale = scale };
    }

    private static void Refuse(AdapterFolder adapter)
    {
        var what = adapter switch
        {
            { ChangedBase: { } start } => $"it started as '{start}', which changed its base; add --initial with the adapter it started from",
            { Modules.IsEmpty: true } => "it has no factors",
            _ when adapter.Modules.Any(module => module.Magnitude is not null) => "it is a DoRA, whose rows are scaled after the sum",
            _ when adapter.Modules.Any(module => module.BiasOfB is not null) || adapter.Replaced.Keys.Any(name => name.EndsWith(".bias", StringComparison.Ordinal)) => "it trains biases",
            _ when adapter.Replaced.Keys.FirstOrDefault() is { } name => $"it holds '{name}' itself",
            _ => null,
        };
        if (what is not null)
        {
            throw new DistTuneException(FaultKind.Configuration, $"'{adapter.Origin}' has no portable form: {what}. Otherwise write a merged model: disttune merge.");
        }
    }
}
