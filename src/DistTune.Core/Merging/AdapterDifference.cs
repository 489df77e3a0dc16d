using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace DistTune.Core.Merging;

/// <summary>
/// Turns an adapter whose start was taken out of its base (PiSSA, Meng et al. 2024, arXiv:2404.02948) into plain LoRA of twice the rank on
/// the original base: A' = [A; A_0], B' = [B, -B_0], so that B' A' = B A - B_0 A_0.
/// </summary>
public static class AdapterDifference
{
    /// <summary>The difference of a trained adapter from its start.</summary>
    /// <exception cref="DistTuneException">The two are not of the same modules, ranks and scales, or hold more than factors.</exception>
    public static AdapterFolder Of(AdapterFolder trained, AdapterFolder initial)
    {
        ArgumentNullException.ThrowIfNull(trained);
        ArgumentNullException.ThrowIfNull(initial);
        var starts = initial.Modules.ToDictionary(module => module.Name, StringComparer.Ordinal);
        if (starts.Count != trained.Modules.Length || !trained.Modules.All(module => starts.TryGetValue(module.Name, out var start) && GoTogether(module, start)))
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"'{initial.Origin}' is not the start of '{trained.Origin}': modules, ranks and scales must be the same, without DoRA. Name the adapter that the training began with.");
        }

        var modules = trained.Modules.Select(module => AdapterFactors.Stack(module, Negated(starts[module.Name]))).ToImmutableArray();
        return new AdapterFolder(trained.Origin, Doubled(trained.Config), modules, trained.Replaced, trained.BaseWeights);
    }

    private static bool GoTogether(AdaptedModule trained, AdaptedModule start) =>
        trained.Magnitude is null && start.Magnitude is null && trained.IsEmbedding == start.IsEmbedding && trained.Scale == start.Scale
        && trained.A.Shape.SequenceEqual(start.A.Shape) && trained.B.Shape.SequenceEqual(start.B.Shape);

    private static AdaptedModule Negated(AdaptedModule module) => module with { B = AdapterFactors.Times(module.B, -1) };

    /// <summary>Twice the rank at the same scale: alpha doubles too, or goes with the root under rsLoRA.</summary>
    private static JsonObject Doubled(JsonObject config)
    {
        var result = config.DeepClone().AsObject();
        var root = config["use_rslora"] is JsonValue flag && flag.TryGetValue<bool>(out var on) && on;
        var alpha = root ? Math.Sqrt(2) : 2;
        result["r"] = Times(config["r"], 2, 8);
        result["lora_alpha"] = Times(config["lora_alpha"], alpha, 8);
        result["rank_pattern"] = Times(config["rank_pattern"] as JsonObject, 2);
        result["alpha_pattern"] = Times(config["alpha_pattern"] as JsonObject, alpha);
        result["init_lora_weights"] = true;
        return result;
    }

    private static JsonNode Times(JsonNode? number, double factor, double standard) =>
        AdapterFactors.Number((number is JsonValue value && value.TryGetValue<double>(out var own) ? own : standard) * factor);

    private static JsonObject Times(JsonObject? pattern, double factor) =>
        new(pattern is null ? [] : pattern.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)Times(pair.Value, factor, 0))));
}
