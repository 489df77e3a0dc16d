using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Configuration;
using DistTune.Core.Formats;

namespace DistTune.Core.Models;

/// <summary>The model families that are supported, and the way from a model on disk to its <see cref="DecoderSpec"/>.</summary>
public static class ModelFamilies
{
    /// <summary>The configuration's file name within a model folder.</summary>
    public const string ConfigName = "config.json";

    /// <summary>The generation configuration's file name within a model folder.</summary>
    public const string GenerationConfigName = "generation_config.json";

    /// <summary>One line a family.</summary>
    public static ImmutableArray<IModelFamily> All { get; } =
    [
        new LlamaFamily(),
        new MistralFamily(),
        new Phi3Family(),
        new Qwen2Family(),
        new Qwen3Family(),
        new Gemma2Family(),
        new Gemma3Family(),
    ];

    /// <summary>Describes the model in a folder (config.json, or else its .gguf) or in a .gguf file.</summary>
    /// <param name="path">A model folder or a .gguf file.</param>
    /// <exception cref="DistTuneException">The configuration is missing, wrong or of a kind that is not supported.</exception>
    public static DecoderSpec Describe(string path)
    {
        var configPath = Path.Combine(path, ConfigName);
        if (File.Exists(configPath))
        {
            using var document = JsonFile.Read(configPath);
            var spec = Describe(document.RootElement, configPath);
            return spec with { EndTokens = [.. spec.EndTokens.Union(GenerationEndTokens(path))] };
        }

        var weights = WeightSources.Locate(path);
        return WeightSources.IsGguf(weights)
            ? DescribeGguf(weights)
            : throw new DistTuneException(FaultKind.Configuration, $"There is no {ConfigName} in '{path}'. Name a model folder that holds one.");
    }

    /// <summary>Describes a configuration that was read already.</summary>
    /// <param name="config">The root of config.json.</param>
    /// <param name="path">Where it came from, for messages.</param>
    public static DecoderSpec Describe(JsonElement config, string path)
    {
        if (config.ValueKind != JsonValueKind.Object
            || !config.TryGetProperty("architectures", out var list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() != 1
            || list[0].ValueKind != JsonValueKind.String)
        {
            throw FileFault.Of(path, "it has no 'architectures' with one name", "Fetch the model's config.json again.");
        }

        var architecture = list[0].GetString()!;
        var family = All.FirstOrDefault(family => family.Architectures.Contains(architecture, StringComparer.Ordinal));
        if (family is not null)
        {
            return family.Describe(config, path);
        }

        var supported = All.SelectMany(known => known.Architectures).ToArray();
        throw new ConfigReader(config, path).Unsupported("architectures[0]", architecture, string.Join(", ", supported), NearestName.Find(architecture, supported));
    }

    /// <summary>Checks that every weight of the description is there with its shape, and that every weight there has its place in it.</summary>
    /// <exception cref="DistTuneException">Weights are missing, of another shape or without a place; the message lists them.</exception>
    public static void CheckWeights(DecoderSpec spec, IWeightSource weights, string path)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(weights);
        var known = spec.Weights.Select(weight => weight.Name).ToHashSet(StringComparer.Ordinal);
        var homeless = weights.Weights.Where(weight => !known.Contains(weight.Name) && !spec.IsRedundant(weight.Name));
        string[] faults =
        [
            .. spec.Weights.Select(weight => Fault(weight, weights.Find(weight.Name))).OfType<string>(),
            .. homeless.Select(weight => $"no place for: {weight.Name}"),
        ];
        if (faults.Length > 0)
        {
            throw FileFault.Of(
                path,
                $"{faults.Length} weights are not as the configuration says ({Listing.Of(faults)})",
                "Fetch configuration and weights from one revision.");
        }
    }

    private static string? Fault(WeightSpec expected, WeightInfo? found) => found switch
    {
        null => $"missing: {expected.Name}",
        _ when !found.Shape.SequenceEqual(expected.Shape) =>
            $"shape [{string.Join(", ", found.Shape)}] instead of [{string.Join(", ", expected.Shape)}]: {expected.Name}",
        _ => null,
    };

    private static DecoderSpec DescribeGguf(string path)
    {
        using var file = GgufFile.Open(path);
        using var config = JsonSerializer.SerializeToDocument(GgufArchitectures.Of(file).Configuration(file));
        var spec = Describe(config.RootElement, path);
        return spec with { EndTokens = [.. spec.EndTokens.Union(GgufImport.EndTokens(file))] };
    }

    private static ImmutableArray<int> GenerationEndTokens(string folder)
    {
        var path = Path.Combine(folder, GenerationConfigName);
        if (!File.Exists(path))
        {
            return [];
        }

        using var document = JsonFile.Read(path);
        return document.RootElement.ValueKind == JsonValueKind.Object ? new ConfigReader(document.RootElement, path).Tokens("eos_token_id") : [];
    }
}
