using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Training;
using DistTune.Goldens.Optimization;

namespace DistTune.Goldens.Training;

/// <summary>What a training case's <c>case.json</c> says.</summary>
internal sealed class TrainCase(JsonElement root)
{
    private static readonly string[] AdamW = ["adamw", "adamw_torch"];
    private static readonly string[] KnownOptimizer = ["lr", "betas", "eps", "weight_decay", "loraplus_lr_ratio", "loraplus_lr_embedding", "loraplus_weight_decay"];
    private static readonly string[] KnownPeft =
    [
        "r", "lora_alpha", "target_modules", "task_type", "peft_type", "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern",
        "alpha_pattern", "use_rslora", "use_dora", "lora_bias", "modules_to_save", "ensure_weight_tying",
    ];

    /// <summary>Name of the model's folder.</summary>
    public string Model => root.GetProperty("model").GetString()!;

    /// <summary>Optimizer steps.</summary>
    public int Steps => root.GetProperty("steps").GetInt32();

    /// <summary>Micro-batches of each step.</summary>
    public int MicroBatches => root.GetProperty("micro_batches").GetInt32();

    /// <summary>Gradient norm above which gradients are scaled down.</summary>
    public double? MaxGradientNorm => root.GetProperty("max_grad_norm") is { ValueKind: JsonValueKind.Number } bound ? bound.GetDouble() : null;

    /// <summary>Whether layers are computed again in the backward pass.</summary>
    public bool GradientCheckpointing => root.TryGetProperty("gradient_checkpointing", out var flag) && flag.GetBoolean();

    /// <summary>Share of the loss that is spread over the vocabulary.</summary>
    public double LabelSmoothing => root.TryGetProperty("label_smoothing", out var share) && share.ValueKind == JsonValueKind.Number ? share.GetDouble() : 0;

    /// <summary>LoRA+'s rates, if the case has them.</summary>
    public LoraPlusSettings? LoraPlus
    {
        get
        {
            var optimizer = root.GetProperty("optimizer");
            return root.TryGetProperty("param_groups", out var kind) && kind.ValueEquals("loraplus")
                ? new LoraPlusSettings(optimizer.GetProperty("loraplus_lr_ratio").GetDouble(), optimizer.GetProperty("loraplus_lr_embedding").GetDouble())
                : null;
        }
    }

    /// <summary>Whether the case decays as the product does, rather than everything.</summary>
    public bool GroupsByName => root.TryGetProperty("param_groups", out var kind) && !kind.ValueEquals("single");

    /// <summary>Whether the base is stored in bfloat16.</summary>
    public bool BaseInBFloat16 => root.TryGetProperty("base_dtype", out var type) && type.GetString() == "bfloat16";

    /// <summary>Whether all weights are trained.</summary>
    public bool TrainsAllWeights => root.GetProperty("peft").ValueKind == JsonValueKind.Null;

    /// <summary>The optimizer.</summary>
    public OptimizerSettings Optimizer
    {
        get
        {
            var optimizer = root.GetProperty("optimizer");
            var betas = optimizer.GetProperty("betas");
            return new OptimizerSettings(betas[0].GetDouble(), betas[1].GetDouble(), optimizer.GetProperty("eps").GetDouble(), optimizer.GetProperty("weight_decay").GetDouble());
        }
    }

    /// <summary>The schedule.</summary>
    public ScheduleSettings Schedule
    {
        get
        {
            var schedule = root.GetProperty("schedule");
            var options = schedule.TryGetProperty("specific", out var specific) ? specific : default;
            var rate = JsonCase.Number(root, "optimizer", "lr");
            var total = schedule.TryGetProperty("total_steps", out var planned) && planned.ValueKind == JsonValueKind.Number ? planned.GetInt32() : Steps;
            return ScheduleCase.Read(schedule.GetProperty("name").GetString()!, options, rate, schedule.GetProperty("warmup_steps").GetInt32(), total);
        }
    }

    /// <summary>A tolerance by name.</summary>
    public double Tolerance(string name) => JsonCase.Number(root, "tolerance", name);

    /// <summary>Refuses what the product does not do, before anything is computed.</summary>
    public void CheckSupported()
    {
        if (root.TryGetProperty("base_dtype", out var type) && type.GetString() is not ("float32" or "bfloat16"))
        {
            throw new GoldenUnsupportedException($"base_dtype: {type.GetString()}");
        }

        CheckOptions("optimizer", root.GetProperty("optimizer"), KnownOptimizer);
        CheckOptions("peft", root.GetProperty("peft"), KnownPeft);
        _ = Schedule;
    }

    /// <summary>The layout with each tensor's decay and learning rate as the case groups them; where the product groups too, both must agree.</summary>
    public ParameterLayout Grouped(ParameterLayout layout)
    {
        if (!root.TryGetProperty("param_group_contents", out var groups))
        {
            return layout;
        }

        var optimizer = root.GetProperty("optimizer");
        var rate = optimizer.GetProperty("lr").GetDouble();
        var decay = optimizer.GetProperty("weight_decay").GetDouble();
        var groupOf = groups.EnumerateArray()
            .SelectMany(group => group.GetProperty("parameters").EnumerateArray().Select(name => (Name: SavedName(name.GetString()!), Group: group)))
            .ToDictionary(pair => pair.Name, pair => pair.Group, StringComparer.Ordinal);
        var unknown = groupOf.Keys.Except(layout.Entries.Select(entry => entry.Name), StringComparer.Ordinal).FirstOrDefault();
        if (unknown is not null)
        {
            throw new InvalidDataException($"The case trains '{unknown}', which the layout lacks.");
        }

        var grouped = ParameterLayout.Create(layout.Entries.Select(entry => Grouped(entry, groupOf, rate, decay)));
        if (GroupsByName)
        {
            RequireEqual(ParameterGroups.WithRates(layout, LoraPlus, rate), grouped, decay);
        }

        return grouped;
    }

    private static void RequireEqual(ParameterLayout own, ParameterLayout grouped, double decay)
    {
        foreach (var (mine, theirs) in own.Entries.Zip(grouped.Entries))
        {
            if ((decay != 0 && mine.WeightDecay != theirs.WeightDecay) || Math.Abs((mine.LearningRateScale / theirs.LearningRateScale) - 1) > 1e-12)
            {
                throw new InvalidDataException($"'{mine.Name}' is in another group than in the case (decay {mine.WeightDecay}, rate times {mine.LearningRateScale}).");
            }
        }
    }

    private static ParameterEntry Grouped(ParameterEntry entry, Dictionary<string, JsonElement> groupOf, double rate, double decay)
    {
        if (!groupOf.TryGetValue(entry.Name, out var group))
        {
            throw new InvalidDataException($"The case trains '{entry.Name}' in no parameter group.");
        }

        var groupDecay = group.GetProperty("weight_decay").GetDouble();
        if (groupDecay != 0 && groupDecay != decay)
        {
            throw new GoldenUnsupportedException("several weight decays");
        }

        return entry with { WeightDecay = groupDecay != 0, LearningRateScale = group.GetProperty("lr").GetDouble() / rate };
    }

    // In memory PEFT puts the adapter's name into a tensor's name; on disk it is left out.
    private static string SavedName(string name)
    {
        const string Adapter = ".default";
        name = name.Replace(".modules_to_save.default.", ".", StringComparison.Ordinal)
            .Replace(".lora_magnitude_vector.default.weight", ".lora_magnitude_vector", StringComparison.Ordinal)
            .Replace(".default.", ".", StringComparison.Ordinal);
        return name.EndsWith(Adapter, StringComparison.Ordinal) ? name[..^Adapter.Length] : name;
    }

    // An option that is null, false, zero or empty asks for nothing.
    private static bool IsSet(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null or JsonValueKind.False => false,
        JsonValueKind.Number => value.GetDouble() != 0,
        JsonValueKind.String => value.GetString()!.Length > 0,
        JsonValueKind.Array => value.GetArrayLength() > 0,
        JsonValueKind.Object => value.EnumerateObject().Any(),
        _ => true,
    };

    private static void CheckOptions(string where, JsonElement options, string[] known)
    {
        if (options.ValueKind != JsonValueKind.Object)
        {
            return;
        }

        foreach (var option in options.EnumerateObject().Where(option => IsSet(option.Value) && !known.Contains(option.Name, StringComparer.Ordinal)))
        {
            var harmless = option.Name switch
            {
                "bias" => option.Value.ValueKind == JsonValueKind.String,
                "name" => option.Value.ValueKind == JsonValueKind.String && AdamW.Contains(option.Value.GetString(), StringComparer.OrdinalIgnoreCase),
                // The adapter's first values are in the case; its plain starts leave the base as it is, and PiSSA's says what is left of it.
                "init_lora_weights" => option.Value.ValueKind == JsonValueKind.True || option.Value.ValueEquals("gaussian")
                    || (option.Value.ValueKind == JsonValueKind.String && option.Value.GetString()!.StartsWith("pissa", StringComparison.Ordinal)),
                _ => false,
            };
            if (!harmless)
            {
                throw new GoldenUnsupportedException($"{where}.{option.Name}: {JsonSerializer.Serialize(option.Value)}");
            }
        }
    }
}
