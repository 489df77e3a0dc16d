using System.Text.Json;

namespace DistTune.Goldens.Support;

/// <summary>Which features a golden case exercises, read from the case itself.</summary>
internal static class CaseFeatures
{
    /// <summary>Every adapter is this at least.</summary>
    public const string Linears = "LoRA on linear modules";

    /// <summary>No adapter, but every weight.</summary>
    public const string FullFineTuning = "full fine-tuning";

    /// <summary>An adapter over four bits.</summary>
    public const string Qlora = "QLoRA";

    /// <summary>LoRA+'s learning rates.</summary>
    public const string LoraPlus = "LoRA+";

    /// <summary>A share of the loss over the whole vocabulary.</summary>
    public const string LabelSmoothing = "label smoothing";

    /// <summary>AdamW's moments in eight bits.</summary>
    public const string EightBitMoments = "`optimizer: adamw_8bit`";

    /// <summary>LoftQ's start.</summary>
    public const string Loftq = "LoftQ";

    /// <summary>Adapters that are active together.</summary>
    public const string SeveralAdapters = "several adapters over one base, summed, `linear`, `cat`";

    private static readonly Dictionary<string, string> FamilyNames = new(StringComparer.Ordinal)
    {
        ["llama"] = "Llama 2, 3, 3.1, 3.2, SmolLM2",
        ["phi3"] = "Phi-3, Phi-3.5",
        ["mistral"] = "Mistral",
        ["qwen2"] = "Qwen2, Qwen2.5",
        ["qwen3"] = "Qwen3",
        ["gemma2"] = "Gemma 2",
        ["gemma3_text"] = "Gemma 3 (text)",
    };

    private static readonly (string Key, string Name)[] PeftOptions =
    [
        ("use_rslora", "rsLoRA"),
        ("use_dora", "DoRA"),
        ("lora_bias", "`lora_bias`"),
        ("modules_to_save", "`modules_to_save`"),
        ("ensure_weight_tying", "`ensure_weight_tying`"),
        ("rank_pattern", "`rank_pattern`, `alpha_pattern`"),
        ("alpha_pattern", "`rank_pattern`, `alpha_pattern`"),
        ("layers_to_transform", "`layers_to_transform`"),
        ("exclude_modules", "`exclude_modules`"),
    ];

    /// <summary>The features of a case; none for a case that says nothing about support.</summary>
    /// <param name="path">Its folder or file.</param>
    /// <param name="part">Which part of it, if it has several.</param>
    public static IReadOnlyList<SupportedFeature> Of(string path, string part = "")
    {
        if (path.EndsWith(".json", StringComparison.Ordinal) && File.Exists(path) && OfFile(Read(path), part) is { Count: > 0 } features)
        {
            return features;
        }

        var folder = Directory.Exists(path) ? path : Path.GetDirectoryName(path)!;
        if (File.Exists(Path.Combine(folder, "case.json")))
        {
            return [.. OfTraining(Read(Path.Combine(folder, "case.json"))).Distinct()];
        }

        return File.Exists(Path.Combine(folder, "config.json")) ? [.. OfModel(Read(Path.Combine(folder, "config.json"))).Distinct()] : [];
    }

    /// <summary>What users call a base in four bits.</summary>
    public static string FourBitBase(string? kind) => $"4-bit {kind?.ToUpperInvariant()} (bitsandbytes)";

    // A case in a file of its own, told by what it compares.
    private static IReadOnlyList<SupportedFeature> OfFile(JsonElement root, string part) =>
        Member(root, "min_8bit_size") is not null ? [Adapter(EightBitMoments)]
        : Member(root, "items") is { ValueKind: JsonValueKind.Array } items && items.EnumerateArray().Any(item => Member(item, "error_loftq") is not null) ? [Adapter(Loftq)]
        : part.Length > 0 && Member(root, "tables") is { } tables && Member(tables, part) is { } table && Member(table, "rope_parameters") is not null ? [.. Rotary(table)]
        : [];

    private static IEnumerable<SupportedFeature> OfModel(JsonElement config)
    {
        if (Text(config, "model_type") is not { } type)
        {
            yield break;
        }

        yield return new(SupportedFeature.Families, FamilyNames.GetValueOrDefault(type, type));
        foreach (var kind in Rotary(config))
        {
            yield return kind;
        }

        if (config.TryGetProperty("quantization_config", out var quantization))
        {
            yield return new(SupportedFeature.Bases, FourBitBase(Text(quantization, "bnb_4bit_quant_type")));
        }
        else if ((Text(config, "dtype") ?? Text(config, "torch_dtype")) is { } stored)
        {
            yield return new(SupportedFeature.Bases, stored);
        }
    }

    private static IEnumerable<SupportedFeature> Rotary(JsonElement config) => RotaryKinds(config).Select(kind => new SupportedFeature(SupportedFeature.Rotary, kind));

    // One kind, or one for each type of layer.
    private static IEnumerable<string> RotaryKinds(JsonElement config)
    {
        if ((Member(config, "rope_parameters") ?? Member(config, "rope_scaling")) is not { ValueKind: JsonValueKind.Object } given)
        {
            return ["default"];
        }

        var layers = given.EnumerateObject().Where(layer => layer.Value.ValueKind == JsonValueKind.Object).Select(layer => layer.Value).ToList();
        return (layers.Count > 0 ? layers : [given]).Select(kind => Text(kind, "rope_type") ?? Text(kind, "type") ?? "default");
    }

    private static IEnumerable<SupportedFeature> OfTraining(JsonElement root)
    {
        if (root.TryGetProperty("adapters", out _))
        {
            yield return Adapter(SeveralAdapters);
            yield break;
        }

        if (Text(root, "quant") is not null)
        {
            yield return Adapter(Qlora);
            yield break;
        }

        if (Member(root, "peft") is not { ValueKind: JsonValueKind.Object } peft)
        {
            if (root.TryGetProperty("peft", out _))
            {
                yield return Adapter(FullFineTuning);
            }

            yield break;
        }

        yield return Adapter(Linears);
        foreach (var name in OfPeft(peft).Concat(OfOptimizer(root)))
        {
            yield return Adapter(name);
        }
    }

    /// <summary>What an <c>adapter_config.json</c> says.</summary>
    public static IEnumerable<string> OfPeft(JsonElement peft)
    {
        if (Member(peft, "target_modules") is { } targets)
        {
            yield return targets.ValueKind == JsonValueKind.Array
                ? "targets by name"
                : targets.GetString() == "all-linear" ? "targets `all-linear`" : "targets by regular expression";
            if (targets.ValueKind == JsonValueKind.Array && targets.EnumerateArray().Any(target => target.GetString()!.EndsWith("embed_tokens", StringComparison.Ordinal)))
            {
                yield return "LoRA on embeddings";
            }
        }

        foreach (var (key, name) in PeftOptions)
        {
            if (Member(peft, key) is { } value && SaysSomething(value))
            {
                yield return name;
            }
        }

        if (Member(peft, "lora_dropout") is { ValueKind: JsonValueKind.Number } dropout && dropout.GetDouble() != 0)
        {
            yield return "`lora_dropout`";
        }

        if (Text(peft, "bias") is "all" or "lora_only")
        {
            yield return $"`bias: {Text(peft, "bias")}`";
        }

        if (Text(peft, "init_lora_weights") is { } start)
        {
            yield return start == "pissa" ? "PiSSA" : start == "loftq" ? Loftq : $"`init_lora_weights: {start}`";
        }
    }

    private static IEnumerable<string> OfOptimizer(JsonElement root)
    {
        if (Text(root, "param_groups") == "loraplus")
        {
            yield return LoraPlus;
        }

        if (Member(root, "label_smoothing") is { ValueKind: JsonValueKind.Number } smoothing && smoothing.GetDouble() != 0)
        {
            yield return LabelSmoothing;
        }
    }

    private static bool SaysSomething(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.False => false,
        JsonValueKind.Object => value.EnumerateObject().Any(),
        JsonValueKind.Array => value.GetArrayLength() > 0,
        _ => true,
    };

    private static SupportedFeature Adapter(string name) => new(SupportedFeature.Adapters, name);

    private static JsonElement Read(string path) => JsonDocument.Parse(File.ReadAllBytes(path)).RootElement;

    private static JsonElement? Member(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static string? Text(JsonElement element, string name) =>
        Member(element, name) is { ValueKind: JsonValueKind.String } value ? value.GetString() : null;
}
