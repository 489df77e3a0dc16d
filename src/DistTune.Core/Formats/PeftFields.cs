using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Formats;

/// <summary>The fields of PEFT's <c>adapter_config.json</c> whose types are PEFT's own.</summary>
internal readonly struct PeftFields(ConfigReader config, string path)
{
    private const int MaxItems = 65_536;

    /// <summary>The fields of plain types.</summary>
    public ConfigReader Config { get; } = config;

    /// <summary>A list of names, or one pattern.</summary>
    public (ImmutableArray<string> Names, string? Pattern) Modules(string name) =>
        Config.Has(name) && Config.Root.GetProperty(name) is { ValueKind: JsonValueKind.String } pattern ? ([], pattern.GetString()) : (Texts(name), null);

    /// <summary>A list of texts, or one.</summary>
    public ImmutableArray<string> Texts(string name) => Items(name, "a text or a list of texts", item => item.ValueKind == JsonValueKind.String ? item.GetString() : null);

    /// <summary>A list of whole numbers from 0, or one.</summary>
    public ImmutableArray<int> Integers(string name) =>
        [.. Items(name, "a whole number or a list of them", item => item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out var number) && number >= 0 ? (object)number : null).Cast<int>()];

    /// <summary>Numbers above 0 by pattern, in the file's order.</summary>
    public ImmutableArray<KeyValuePair<string, double>> Numbers(string name)
    {
        if (!Config.Has(name))
        {
            return [];
        }

        var value = Config.Root.GetProperty(name);
        var isPattern = value.ValueKind == JsonValueKind.Object
            && value.EnumerateObject().All(item => item.Value.ValueKind == JsonValueKind.Number && item.Value.TryGetDouble(out var number) && number is > 0 and < int.MaxValue);
        return isPattern
            ? [.. value.EnumerateObject().Take(MaxItems).Select(item => KeyValuePair.Create(item.Name, item.Value.GetDouble()))]
            : throw Wrong(name, "an object of numbers above 0");
    }

    /// <summary>Which biases are trained.</summary>
    public BiasTraining Bias() => Config.Text("bias") switch
    {
        null or "none" => BiasTraining.None,
        "all" => BiasTraining.All,
        "lora_only" => BiasTraining.LoraOnly,
        var other => throw Config.Unsupported("bias", other, "none, all, lora_only"),
    };

    /// <summary>The share that is dropped.</summary>
    public double Dropout()
    {
        if (!Config.Has("lora_dropout"))
        {
            return 0;
        }

        var value = Config.Root.GetProperty("lora_dropout");
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var share) && share is >= 0 and < 1 ? share : throw Wrong("lora_dropout", "a number from 0, below 1");
    }

    /// <summary>What the factors started from; a start that left another base behind is refused or named.</summary>
    public LoraStart Start()
    {
        if (!Config.Has("init_lora_weights") || Config.Root.GetProperty("init_lora_weights").ValueKind == JsonValueKind.True)
        {
            return LoraStart.Zero;
        }

        if (Config.Root.GetProperty("init_lora_weights").ValueKind == JsonValueKind.False)
        {
            return LoraStart.Random;
        }

        return Config.Text("init_lora_weights") switch
        {
            "gaussian" => LoraStart.Gaussian,
            "eva" or "orthogonal" => LoraStart.Zero,
            "loftq" => LoraStart.Loftq,
            var name when name!.StartsWith("pissa", StringComparison.Ordinal) => LoraStart.Pissa,
            var other => throw Config.Unsupported("init_lora_weights", other!, "true, false, gaussian, eva, orthogonal, pissa, loftq"),
        };
    }

    /// <summary>Refuses what would be ignored otherwise.</summary>
    public void RefuseUnsupported()
    {
        var type = Config.Text("peft_type");
        if (type != "LORA")
        {
            throw Config.Unsupported("peft_type", type ?? "null", "LORA");
        }

        foreach (var flag in (string[])["fan_in_fan_out", "use_qalora"])
        {
            if (Config.Flag(flag, false))
            {
                throw Config.Unsupported(flag, "true", "false");
            }
        }

        foreach (var name in (string[])["layer_replication", "target_parameters", "trainable_token_indices", "alora_invocation_tokens", "use_bdlora", "arrow_config"])
        {
            if (Config.Has(name) && !IsEmpty(Config.Root.GetProperty(name)))
            {
                throw Config.Unsupported(name, Config.Root.GetProperty(name).GetRawText(), "none");
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

    private ImmutableArray<T> Items<T>(string name, string expected, Func<JsonElement, T?> read)
        where T : class
    {
        if (!Config.Has(name))
        {
            return [];
        }

        var value = Config.Root.GetProperty(name);
        var items = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray().Take(MaxItems + 1).ToArray() : [value];
        var parsed = items.Select(read).ToArray();
        return parsed.Length <= MaxItems && Array.TrueForAll(parsed, item => item is not null) ? [.. parsed!] : throw Wrong(name, expected);
    }

    private DistTuneException Wrong(string name, string expected) =>
        FileFault.Of(path, $"{name} must be {expected}, got {Config.Root.GetProperty(name).GetRawText()}", "Correct the field or fetch the adapter again.");
}
