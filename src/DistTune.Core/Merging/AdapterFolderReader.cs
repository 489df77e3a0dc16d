using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Merging;

/// <summary>Reads an adapter folder of PEFT module by module.</summary>
internal static class AdapterFolderReader
{
    private const string EmbeddingB = ".lora_embedding_B";
    private const string Magnitude = ".lora_magnitude_vector";
    private const string BiasOfB = ".lora_B.bias";
    private const string BaseLayer = ".base_layer.";
    private static readonly TimeSpan PatternTime = TimeSpan.FromSeconds(1);

    /// <summary>Reads configuration and tensors.</summary>
    public static AdapterFolder Read(string folder)
    {
        var configPath = Path.Combine(folder, PeftAdapter.ConfigName);
        var weightsPath = Path.Combine(folder, PeftAdapter.WeightsName);
        foreach (var path in (string[])[configPath, weightsPath])
        {
            if (!File.Exists(path))
            {
                throw new DistTuneException(FaultKind.Configuration, $"There is no {Path.GetFileName(path)} in '{folder}'. Name a PEFT adapter's folder.");
            }
        }

        using var document = JsonFile.Read(configPath);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            throw FileFault.Of(configPath, "it is not a JSON object", "Fetch the adapter again.");
        }

        var reader = new ConfigReader(document.RootElement, configPath);
        RefuseUnsupported(reader);
        using var file = SafetensorsFile.Open(weightsPath);
        var tensors = file.Weights.ToDictionary(weight => Strip(weight.Name, weightsPath), weight => Tensor(file, weight), StringComparer.Ordinal);
        var modules = Modules(tensors, reader, weightsPath);
        var (replaced, baseWeights) = Rest(tensors, weightsPath);
        return new AdapterFolder(folder, JsonObject.Create(document.RootElement.Clone())!, modules, replaced, baseWeights);
    }

    private static AdapterTensor Tensor(SafetensorsFile file, WeightInfo weight)
    {
        var values = new float[weight.Length];
        file.ReadFloat32(weight.Name, values);
        return values.All(float.IsFinite)
            ? new AdapterTensor(weight.Shape, values)
            : throw FileFault.Of(file.Path, $"the tensor '{weight.Name}' holds a value that is not finite", "Use an adapter of a run that did not diverge.");
    }

    private static string Strip(string name, string path) => name.StartsWith(AdapterLayout.Prefix, StringComparison.Ordinal)
        ? name[AdapterLayout.Prefix.Length..]
        : throw FileFault.Of(path, $"the tensor '{name}' does not begin with '{AdapterLayout.Prefix}'", "Save the adapter with save_pretrained.");

    private static ImmutableArray<AdaptedModule> Modules(Dictionary<string, AdapterTensor> tensors, ConfigReader config, string path)
    {
        var alphas = Patterns(config, "alpha_pattern");
        var alpha = config.PositiveNumber("lora_alpha", 8);
        var rootScale = config.Flag("use_rslora", false);
        var modules = new List<AdaptedModule>();
        foreach (var name in tensors.Keys.Where(key => key.EndsWith(AdapterLayout.SuffixA, StringComparison.Ordinal) || key.EndsWith(AdapterLayout.SuffixEmbeddingA, StringComparison.Ordinal)).ToArray())
        {
            var isEmbedding = name.EndsWith(AdapterLayout.SuffixEmbeddingA, StringComparison.Ordinal);
            var module = name[..^(isEmbedding ? AdapterLayout.SuffixEmbeddingA : AdapterLayout.SuffixA).Length];
            var a = Take(tensors, name)!;
            var b = Take(tensors, module + (isEmbedding ? EmbeddingB : AdapterLayout.SuffixB))
                ?? throw FileFault.Of(path, $"'{module}' has the factor A and no B", "Save the adapter again.");
            if (a.Shape.Length != 2 || b.Shape.Length != 2 || a.Shape[0] != b.Shape[1] || a.Shape[0] < 1)
            {
                throw FileFault.Of(path, $"the factors of '{module}' have shapes [{string.Join(", ", a.Shape)}] and [{string.Join(", ", b.Shape)}], which cannot be multiplied", "Save the adapter again.");
            }

            var own = First(alphas, module) ?? alpha;
            var magnitude = Take(tensors, module + Magnitude);
            var bias = Take(tensors, module + BiasOfB);
            if ((magnitude is not null && magnitude.Values.Length != b.Shape[0]) || (bias is not null && (isEmbedding || bias.Values.Length != b.Shape[0])))
            {
                throw FileFault.Of(path, $"the magnitudes or the bias of '{module}' have not one value a row of its factor B", "Only linear modules can have a bias; save the adapter again.");
            }

            modules.Add(new AdaptedModule(module, isEmbedding, a, b, rootScale ? own / Math.Sqrt(a.Shape[0]) : own / a.Shape[0]) { Magnitude = magnitude?.Values, BiasOfB = bias?.Values });
        }

        return [.. modules.OrderBy(module => module.Name, StringComparer.Ordinal)];
    }

    private static (ImmutableSortedDictionary<string, AdapterTensor> Replaced, ImmutableSortedDictionary<string, AdapterTensor> Base) Rest(Dictionary<string, AdapterTensor> tensors, string path)
    {
        var replaced = ImmutableSortedDictionary.CreateBuilder<string, AdapterTensor>(StringComparer.Ordinal);
        var below = ImmutableSortedDictionary.CreateBuilder<string, AdapterTensor>(StringComparer.Ordinal);
        foreach (var (name, tensor) in tensors)
        {
            if (name.Contains("lora_", StringComparison.Ordinal))
            {
                throw FileFault.Of(path, $"the tensor '{AdapterLayout.Prefix}{name}' belongs to no pair of factors", "Use an adapter of plain LoRA, rsLoRA or DoRA.");
            }

            var own = name.Replace(BaseLayer, ".", StringComparison.Ordinal);
            (own != name && own.EndsWith(".weight", StringComparison.Ordinal) ? below : replaced).Add(own, tensor);
        }

        return (replaced.ToImmutable(), below.ToImmutable());
    }

    private static AdapterTensor? Take(Dictionary<string, AdapterTensor> tensors, string name) => tensors.Remove(name, out var tensor) ? tensor : null;

    private static List<(Regex Key, double Value)> Patterns(ConfigReader config, string name)
    {
        var patterns = new List<(Regex, double)>();
        if (config.Section(name) is not { } section)
        {
            return patterns;
        }

        foreach (var property in section.Root.EnumerateObject())
        {
            try
            {
                patterns.Add((new Regex($@"\A(?:.*\.)?(?:{property.Name})$", RegexOptions.CultureInvariant, PatternTime), section.PositiveNumber(property.Name)));
            }
            catch (ArgumentException error)
            {
                throw new DistTuneException(FaultKind.Configuration, $"{name} has the key '{property.Name}', which is not a pattern ({error.Message}). Correct the adapter's configuration.", error);
            }
        }

        return patterns;
    }

    // As PEFT: the first match in the file's order wins.
    private static double? First(List<(Regex Key, double Value)> patterns, string module)
    {
        foreach (var (key, value) in patterns)
        {
            if (key.IsMatch(module))
            {
                return value;
            }
        }

        return null;
    }

    private static void RefuseUnsupported(ConfigReader reader)
    {
        var type = reader.Text("peft_type");
        if (type != "LORA")
        {
            throw reader.Unsupported("peft_type", type ?? "null", "LORA");
        }

        foreach (var flag in (string[])["fan_in_fan_out", "use_qalora"])
        {
            if (reader.Flag(flag, false))
            {
                throw reader.Unsupported(flag, "true", "false");
            }
        }

        foreach (var name in (string[])["layer_replication", "target_parameters", "trainable_token_indices", "alora_invocation_tokens", "use_bdlora", "velora_config", "kasa_config", "monteclora_config"])
        {
            if (reader.Has(name) && reader.Root.GetProperty(name) is var value && !IsEmpty(value))
            {
                throw reader.Unsupported(name, value.GetRawText(), "none");
            }
        }
    }

    private static bool IsEmpty(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => !value.EnumerateObject().Any(),
        JsonValueKind.False => true,
        _ => false,
    };
}
