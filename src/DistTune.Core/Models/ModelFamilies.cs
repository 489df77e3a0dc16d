using System.Collections.Immutable;
using System.Text.Json;
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
    ];

    /// <summary>Describes the model in a folder with config.json.</summary>
    /// <param name="path">A model folder.</param>
    /// <exception cref="DistTuneException">The configuration is missing, wrong or of a kind that is not supported.</exception>
    public static DecoderSpec Describe(string path)
    {
        var configPath = Path.Combine(path, ConfigName);
        if (!File.Exists(configPath))
        {
            throw new DistTuneException(FaultKind.Configuration, $"There is no {ConfigName} in '{path}'. Name a model folder that holds one.");
        }

        using var document = JsonFile.Read(configPath);
        var spec = Describe(document.RootElement, configPath);
        return spec with { EndTokens = [.. spec.EndTokens.Union(GenerationEndTokens(path))] };
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
        return family is not null
            ? family.Describe(config, path)
            : throw new ConfigReader(config, path).Unsupported("architectures[0]", architecture, string.Join(", ", All.SelectMany(family => family.Architectures)));
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
