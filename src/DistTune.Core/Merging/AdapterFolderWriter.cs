using System.Collections.Immutable;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;
using DistTune.Core.Training;

namespace DistTune.Core.Merging;

/// <summary>Writes an adapter as PEFT reads it: its keys, its fields, none of our own.</summary>
internal static class AdapterFolderWriter
{
    /// <summary>What every PEFT release since 0.10 knows; other fields of a read configuration say nothing that a LoRA needs.</summary>
    private static readonly string[] KnownFields =
    [
        "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern",
        "layers_to_transform", "loftq_config", "lora_alpha", "lora_dropout", "modules_to_save", "peft_type", "r", "rank_pattern", "revision",
        "target_modules", "task_type", "use_dora", "use_rslora",
    ];

    /// <summary>Newer fields, written only where they say something.</summary>
    private static readonly string[] NewerFields = ["lora_bias", "exclude_modules", "ensure_weight_tying"];

    /// <summary>Writes the folder, reads it back and compares every value.</summary>
    public static void Write(AdapterFolder adapter, string folder, ImmutableArray<KeyValuePair<string, string>> facts)
    {
        var tensors = Tensors(adapter).ToImmutableSortedDictionary(StringComparer.Ordinal);
        AtomicFile.WriteFolder(
            folder,
            staging =>
            {
                AtomicFile.WriteText(Path.Combine(staging, PeftAdapter.CardName), AdapterFolderCard.Render(adapter, facts));
                AtomicFile.WriteText(Path.Combine(staging, PeftAdapter.ConfigName), JsonFile.Render(Fields(adapter.Config)));
                SafetensorsWriter.Write(
                    Path.Combine(staging, PeftAdapter.WeightsName),
                    tensors.Select(pair => new WeightInfo(pair.Key, WeightType.Float32, pair.Value.Shape)),
                    (weight, stream) => SafetensorsWriter.WriteValues(stream, tensors[weight.Name].Values, weight.Type));
            },
            staging =>
            {
                var read = Tensors(AdapterFolder.Load(staging)).ToDictionary(StringComparer.Ordinal);
                if (read.Count != tensors.Count || tensors.Any(pair => !read.TryGetValue(pair.Key, out var other) || !other.Values.AsSpan().SequenceEqual(pair.Value.Values)))
                {
                    throw FileFault.Of(folder, "the adapter that was written does not read back equal", "Check the disk; the adapter was not published.");
                }
            });
    }

    /// <summary>Fields with what PEFT takes where they are absent.</summary>
    internal static JsonObject Fields(JsonObject config)
    {
        var fields = new JsonObject();
        foreach (var name in KnownFields)
        {
            fields[name] = config.TryGetPropertyValue(name, out var value) ? value?.DeepClone() : Standard(name);
        }

        foreach (var name in NewerFields.Where(name => config[name] is JsonArray { Count: > 0 } || config[name] is JsonValue))
        {
            if (config[name] is not JsonValue flag || !flag.TryGetValue<bool>(out var on) || on)
            {
                fields[name] = config[name]!.DeepClone();
            }
        }

        return fields;
    }

    private static JsonNode? Standard(string name) => name switch
    {
        "peft_type" => "LORA",
        "task_type" => "CAUSAL_LM",
        "bias" => "none",
        "fan_in_fan_out" or "use_dora" or "use_rslora" => false,
        "inference_mode" or "init_lora_weights" => true,
        "alpha_pattern" or "rank_pattern" or "loftq_config" => new JsonObject(),
        "lora_dropout" => JsonNode.Parse("0.0"),
        _ => null,
    };

    private static IEnumerable<KeyValuePair<string, AdapterTensor>> Tensors(AdapterFolder adapter)
    {
        foreach (var module in adapter.Modules)
        {
            var name = AdapterLayout.Prefix + module.Name;
            yield return new(name + (module.IsEmbedding ? ".lora_embedding_A" : AdapterLayout.SuffixA), module.A);
            yield return new(name + (module.IsEmbedding ? ".lora_embedding_B" : AdapterLayout.SuffixB), module.B);
            if (module.Magnitude is { } magnitude)
            {
                yield return new($"{name}.lora_magnitude_vector", new AdapterTensor([magnitude.Length], magnitude));
            }

            if (module.BiasOfB is { } bias)
            {
                yield return new($"{name}.lora_B.bias", new AdapterTensor([bias.Length], bias));
            }
        }

        var adapted = adapter.Modules.Select(module => module.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var (name, tensor) in adapter.Replaced.Concat(adapter.BaseWeights))
        {
            var dot = name.LastIndexOf('.');
            yield return new(AdapterLayout.Prefix + (dot > 0 && adapted.Contains(name[..dot]) ? $"{name[..dot]}.base_layer{name[dot..]}" : name), tensor);
        }
    }
}
