using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Training;

namespace DistTune.Goldens.Training;

/// <summary>What a training case's <c>case.json</c> says.</summary>
internal sealed class TrainCase(JsonElement root)
{
    private static readonly string[] s_knownPeft = ["r", "lora_alpha", "target_modules", "lora_dropout", "bias", "task_type", "peft_type", "exclude_modules", "layers_to_transform", "layers_pattern"];

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
            var name = schedule.GetProperty("name").GetString();
            var kind = name switch
            {
                "constant" => ScheduleKind.Constant,
                "constant_with_warmup" => ScheduleKind.ConstantWithWarmup,
                "linear" => ScheduleKind.Linear,
                "cosine" => ScheduleKind.Cosine,
                "cosine_with_restarts" => ScheduleKind.CosineWithRestarts,
                "polynomial" => ScheduleKind.Polynomial,
                _ => throw new GoldenUnsupportedException($"the schedule '{name}'"),
            };
            var rate = JsonCase.Number(root, "optimizer", "lr");
            return new ScheduleSettings(kind, rate, schedule.GetProperty("warmup_steps").GetInt32(), Steps) { Options = Options(schedule) };
        }
    }

    /// <summary>A tolerance by name.</summary>
    public double Tolerance(string name) => JsonCase.Number(root, "tolerance", name);

    /// <summary>Refuses what the product does not do.</summary>
    public void CheckSupported()
    {
        if (root.TryGetProperty("label_smoothing", out var smoothing) && smoothing.GetDouble() != 0)
        {
            throw new GoldenUnsupportedException("label smoothing in training");
        }

        if (root.GetProperty("peft") is { ValueKind: JsonValueKind.Object } peft)
        {
            foreach (var option in peft.EnumerateObject())
            {
                CheckPeft(option);
            }
        }

        foreach (var flag in (string[])["save_residual_base", "convert_to_plain_lora"])
        {
            if (root.TryGetProperty(flag, out var value) && value.ValueKind == JsonValueKind.True)
            {
                throw new GoldenUnsupportedException(flag);
            }
        }
    }

    /// <summary>The layout with each tensor's decay and learning rate as the case groups them.</summary>
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
            throw new GoldenUnsupportedException($"the trained tensor '{unknown}'");
        }

        return ParameterLayout.Create(layout.Entries.Select(entry => Grouped(entry, groupOf, rate, decay)));
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
    private static string SavedName(string name) =>
        name.Replace(".default.weight", ".weight", StringComparison.Ordinal);

    private static void CheckPeft(JsonProperty option)
    {
        var supported = option.Name switch
        {
            "lora_dropout" => option.Value.GetDouble() == 0,
            "bias" => option.Value.GetString() == "none",
            _ => s_knownPeft.Contains(option.Name, StringComparer.Ordinal),
        };
        if (!supported)
        {
            throw new GoldenUnsupportedException($"{option.Name}: {JsonSerializer.Serialize(option.Value)}");
        }
    }

    private static ScheduleOptions Options(JsonElement schedule)
    {
        var options = new ScheduleOptions();
        if (!schedule.TryGetProperty("specific", out var specific))
        {
            return options;
        }

        foreach (var option in specific.EnumerateObject())
        {
            options = option.Name switch
            {
                "num_cycles" => options with { Cycles = option.Value.GetDouble() },
                "power" => options with { Power = option.Value.GetDouble() },
                "lr_end" => options with { EndRate = option.Value.GetDouble() },
                _ => throw new GoldenUnsupportedException($"the schedule's option '{option.Name}'"),
            };
        }

        return options;
    }
}
