using System.Collections.Immutable;
using DistTune.Core.Configuration;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>What of an adapter beyond rank, alpha and targets a result depends on.</summary>
internal static class AdapterIdentity
{
    private static readonly AdapterSettings Plain = new(AdapterKind.Lora, 1, 1, []);

    /// <summary>Named values; only those that say something, so that the identity of plain runs stays what it was.</summary>
    public static IEnumerable<(string Name, object? Value)> Of(RunConfig config)
    {
        var adapter = config.Adapter;
        (string Name, object? Value, object? Default)[] values =
        [
            ("target_pattern", adapter.TargetPattern, null),
            ("exclude", Texts(adapter.ExcludeModules), ""),
            ("exclude_pattern", adapter.ExcludePattern, null),
            ("layers", string.Join(',', adapter.LayersToTransform), ""),
            ("layers_pattern", Texts(adapter.LayersPattern), ""),
            ("rank_pattern", Texts(adapter.RankPattern.Select(pair => FormattableString.Invariant($"{pair.Key}={pair.Value}"))), ""),
            ("alpha_pattern", Texts(adapter.AlphaPattern.Select(pair => FormattableString.Invariant($"{pair.Key}={pair.Value:R}"))), ""),
            ("rslora", adapter.RankStabilized, Plain.RankStabilized),
            ("dora", adapter.Dora, Plain.Dora),
            ("lora_bias", adapter.BiasOfB, Plain.BiasOfB),
            ("bias", adapter.Bias, Plain.Bias),
            ("saved", Texts(adapter.ModulesToSave), ""),
            ("tying", adapter.EnsureWeightTying, Plain.EnsureWeightTying),
            ("dropout", adapter.Dropout, Plain.Dropout),
            ("loftq", adapter.Start == LoraStart.Loftq ? adapter.LoftqIterations : 0, 0),
            ("loraplus_ratio", config.LoraPlus?.Ratio, null),
            ("loraplus_embedding", config.LoraPlus?.EmbeddingRate, null),
            ("label_smoothing", config.LabelSmoothing, 0.0),
        ];
        return [.. values.Where(value => !Equals(value.Value, value.Default)).Select(value => (value.Name, value.Value))];
    }

    private static string Texts(IEnumerable<string> texts) => string.Join('\u001f', texts);
}
