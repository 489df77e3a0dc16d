using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Formats;

/// <summary>Reads and writes PEFT's <c>adapter_config.json</c>.</summary>
internal static class PeftConfig
{
    /// <summary>The file's text: sorted keys, two spaces, only keys that every PEFT release since 0.10 knows.</summary>
    public static string Render(ParameterLayout layout, AdapterSettings settings, string baseModel)
    {
        var fields = new JsonObject
        {
            ["alpha_pattern"] = new JsonObject(),
            ["auto_mapping"] = null,
            ["base_model_name_or_path"] = baseModel,
            ["bias"] = "none",
            ["fan_in_fan_out"] = false,
            ["inference_mode"] = true,
            ["init_lora_weights"] = true,
            ["layers_pattern"] = null,
            ["layers_to_transform"] = null,
            ["loftq_config"] = new JsonObject(),
            ["lora_alpha"] = Number(settings.Alpha),
            ["lora_dropout"] = JsonNode.Parse("0.0"),
            ["modules_to_save"] = null,
            ["peft_type"] = "LORA",
            ["r"] = settings.Rank,
            ["rank_pattern"] = new JsonObject(),
            ["revision"] = null,
            ["target_modules"] = Targets(layout, settings.TargetModules),
            ["task_type"] = "CAUSAL_LM",
            ["use_dora"] = false,
            ["use_rslora"] = false,
        };
        return JsonFile.Render(fields);
    }

    /// <summary>Reads the settings; what this version cannot apply is refused by name rather than ignored.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tensors">Names of the adapter's tensors; they say which modules a pattern meant.</param>
    public static (AdapterSettings Settings, string? BaseModel) Read(string path, IEnumerable<string> tensors)
    {
        using var document = JsonFile.Read(path);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            throw FileFault.Of(path, "it is not a JSON object", "Fetch the adapter again.");
        }

        var reader = new ConfigReader(document.RootElement, path);
        RefuseUnsupported(reader);
        var rank = reader.PositiveInteger("r", 8);
        var settings = new AdapterSettings(AdapterKind.Lora, rank, reader.PositiveNumber("lora_alpha", 8), ReadTargets(reader, tensors));
        return (settings, reader.Text("base_model_name_or_path"));
    }

    private static JsonNode Number(double value) =>
        value == Math.Floor(value) && Math.Abs(value) < int.MaxValue ? JsonValue.Create((int)value) : JsonValue.Create(value);

    private static JsonArray Targets(ParameterLayout layout, ImmutableArray<string> targets)
    {
        // Spelled out, because some loaders do not know the short form; the head is never among these names.
        var names = targets is [AdapterLayout.AllLinear] ? AdaptedModules(layout.Entries.Select(entry => entry.Name)).Select(LastPart) : targets;
        return new JsonArray([.. names.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).Select(name => JsonValue.Create(name))]);
    }

    private static string LastPart(string module) => module[(module.LastIndexOf('.') + 1)..];

    private static IEnumerable<string> AdaptedModules(IEnumerable<string> tensors) => tensors
        .Where(name => name.StartsWith(AdapterLayout.Prefix, StringComparison.Ordinal) && name.EndsWith(AdapterLayout.SuffixA, StringComparison.Ordinal))
        .Select(name => name[AdapterLayout.Prefix.Length..^AdapterLayout.SuffixA.Length]);

    private static ImmutableArray<string> ReadTargets(ConfigReader reader, IEnumerable<string> tensors)
    {
        var targets = reader.Has("target_modules") ? reader.Root.GetProperty("target_modules") : default;
        var isPlainList = targets.ValueKind == JsonValueKind.Array && targets.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String);
        if (isPlainList && !reader.Has("layers_to_transform") && !reader.Has("exclude_modules"))
        {
            return [.. targets.EnumerateArray().Select(item => item.GetString()!)];
        }

        // A pattern, or a choice of layers: the tensors say exactly which modules it meant.
        return [.. AdaptedModules(tensors).Order(StringComparer.Ordinal)];
    }

    private static void RefuseUnsupported(ConfigReader reader)
    {
        var type = reader.Text("peft_type");
        if (type != "LORA")
        {
            throw reader.Unsupported("peft_type", type ?? "null", "LORA");
        }

        var bias = reader.Text("bias") ?? "none";
        if (bias != "none")
        {
            throw reader.Unsupported("bias", bias, "none");
        }

        foreach (var flag in (string[])["use_dora", "use_rslora", "fan_in_fan_out", "lora_bias", "use_qalora"])
        {
            if (reader.Flag(flag, false))
            {
                throw reader.Unsupported(flag, "true", "false");
            }
        }

        string[] refinements = ["modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication", "target_parameters", "trainable_token_indices"];
        foreach (var name in refinements)
        {
            if (reader.Has(name) && !IsEmpty(reader.Root.GetProperty(name)))
            {
                throw reader.Unsupported(name, reader.Root.GetProperty(name).GetRawText(), "none");
            }
        }
    }

    private static bool IsEmpty(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => !value.EnumerateObject().Any(),
        _ => false,
    };
}
