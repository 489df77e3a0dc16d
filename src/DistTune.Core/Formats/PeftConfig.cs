using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Formats;

/// <summary>Reads and writes PEFT's <c>adapter_config.json</c>.</summary>
internal static class PeftConfig
{
    /// <summary>The file's text: sorted keys, two spaces. Keys that PEFT releases since 0.10 do not all know are written only where they say something.</summary>
    public static string Render(ParameterLayout layout, AdapterSettings settings, string baseModel)
    {
        var fields = new JsonObject
        {
            ["alpha_pattern"] = Pattern(settings.AlphaPattern, Number),
            ["auto_mapping"] = null,
            ["base_model_name_or_path"] = baseModel,
            ["bias"] = settings.Bias switch
            {
                BiasTraining.All => "all",
                BiasTraining.LoraOnly => "lora_only",
                _ => "none",
            },
            ["fan_in_fan_out"] = false,
            ["inference_mode"] = true,
            ["init_lora_weights"] = settings.Start switch
            {
                LoraStart.Gaussian => "gaussian",
                LoraStart.Pissa => "pissa",
                LoraStart.Loftq => "loftq",
                LoraStart.Random => false,
                _ => true,
            },
            ["layers_pattern"] = settings.LayersPattern switch
            {
                [] => null,
                [var only] => JsonValue.Create(only),
                _ => Texts(settings.LayersPattern),
            },
            ["layers_to_transform"] = settings.LayersToTransform.IsEmpty ? null : new JsonArray([.. settings.LayersToTransform.Select(layer => JsonValue.Create(layer))]),
            ["loftq_config"] = new JsonObject(),
            ["lora_alpha"] = Number(settings.Alpha),
            ["lora_dropout"] = settings.Dropout == 0 ? JsonNode.Parse("0.0") : JsonValue.Create(settings.Dropout),
            ["modules_to_save"] = settings.ModulesToSave.IsEmpty ? null : Texts(settings.ModulesToSave),
            ["peft_type"] = "LORA",
            ["r"] = settings.Rank,
            ["rank_pattern"] = Pattern(settings.RankPattern, rank => JsonValue.Create(rank)),
            ["revision"] = null,
            ["target_modules"] = settings.TargetPattern is { } pattern ? JsonValue.Create(pattern) : Targets(layout, settings.TargetModules),
            ["task_type"] = "CAUSAL_LM",
            ["use_dora"] = settings.Dora,
            ["use_rslora"] = settings.RankStabilized,
        };
        if (settings.BiasOfB)
        {
            fields["lora_bias"] = true;
        }

        if (settings.EnsureWeightTying)
        {
            fields["ensure_weight_tying"] = true;
        }

        if (settings.ExcludePattern is not null || !settings.ExcludeModules.IsEmpty)
        {
            fields["exclude_modules"] = settings.ExcludePattern is { } excluded ? JsonValue.Create(excluded) : Sorted(settings.ExcludeModules);
        }

        return JsonFile.Render(fields);
    }

    /// <summary>Reads the settings; what this version cannot apply is refused by name rather than ignored.</summary>
    public static (AdapterSettings Settings, string? BaseModel) Read(string path)
    {
        using var document = JsonFile.Read(path);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            throw FileFault.Of(path, "it is not a JSON object", "Fetch the adapter again.");
        }

        var reader = new PeftFields(new ConfigReader(document.RootElement, path), path);
        reader.RefuseUnsupported();
        var (targets, pattern) = reader.Modules("target_modules");
        var (excluded, excludedPattern) = reader.Modules("exclude_modules");
        var settings = new AdapterSettings(AdapterKind.Lora, reader.Config.PositiveInteger("r", 8), reader.Config.PositiveNumber("lora_alpha", 8), targets)
        {
            // PEFT writes the word out, but reads it too.
            TargetModules = pattern == AdapterLayout.AllLinear ? [AdapterLayout.AllLinear] : targets,
            TargetPattern = pattern == AdapterLayout.AllLinear ? null : pattern,
            ExcludeModules = excluded,
            ExcludePattern = excludedPattern,
            LayersToTransform = reader.Integers("layers_to_transform"),
            LayersPattern = reader.Texts("layers_pattern"),
            RankPattern = [.. reader.Numbers("rank_pattern").Select(pair => KeyValuePair.Create(pair.Key, checked((int)pair.Value)))],
            AlphaPattern = reader.Numbers("alpha_pattern"),
            RankStabilized = reader.Config.Flag("use_rslora", false),
            Dora = reader.Config.Flag("use_dora", false),
            BiasOfB = reader.Config.Flag("lora_bias", false),
            Bias = reader.Bias(),
            ModulesToSave = reader.Texts("modules_to_save"),
            EnsureWeightTying = reader.Config.Flag("ensure_weight_tying", false),
            Dropout = reader.Dropout(),
            Start = reader.Start(),
        };
        return (settings, reader.Config.Text("base_model_name_or_path"));
    }

    private static JsonNode Number(double value) =>
        value == Math.Floor(value) && Math.Abs(value) < int.MaxValue ? JsonValue.Create((int)value) : JsonValue.Create(value);

    // In the order given: the first match counts.
    private static JsonObject Pattern<T>(ImmutableArray<KeyValuePair<string, T>> pattern, Func<T, JsonNode?> value) =>
        new(pattern.Select(pair => KeyValuePair.Create(pair.Key, value(pair.Value))));

    private static JsonArray Texts(IEnumerable<string> texts) => new([.. texts.Select(text => JsonValue.Create(text))]);

    private static JsonArray Sorted(IEnumerable<string> texts) => Texts(texts.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal));

    // Spelled out, because some loaders do not know the short form; the head is never among these names.
    private static JsonArray Targets(ParameterLayout layout, ImmutableArray<string> targets) => Sorted(targets is [AdapterLayout.AllLinear]
        ? layout.Entries.Where(entry => entry.Role == TensorRole.LoraA).Select(entry => entry.Module[(entry.Module.LastIndexOf('.') + 1)..])
        : targets);
}
