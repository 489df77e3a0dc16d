using System.Text.Json;
using DistTune.Core.Training;

namespace DistTune.Goldens.Optimization;

/// <summary>Schedules as transformers names them and their options.</summary>
internal static class ScheduleCase
{
    /// <summary>The product's settings for a schedule.</summary>
    /// <exception cref="GoldenUnsupportedException">The schedule or an option is not known.</exception>
    public static ScheduleSettings Read(string name, JsonElement options, double rate, int warmupSteps, int totalSteps) =>
        new(Kind(name), rate, warmupSteps, totalSteps) { Options = Options(options, rate) };

    private static ScheduleKind Kind(string name) => name switch
    {
        "constant" => ScheduleKind.Constant,
        "constant_with_warmup" => ScheduleKind.ConstantWithWarmup,
        "linear" => ScheduleKind.Linear,
        "cosine" => ScheduleKind.Cosine,
        "cosine_with_restarts" => ScheduleKind.CosineWithRestarts,
        "cosine_with_min_lr" => ScheduleKind.CosineWithMinimum,
        "cosine_warmup_with_min_lr" => ScheduleKind.CosineWarmupWithMinimum,
        "polynomial" => ScheduleKind.Polynomial,
        "inverse_sqrt" => ScheduleKind.InverseSquareRoot,
        "warmup_stable_decay" => ScheduleKind.WarmupStableDecay,
        _ => throw new GoldenUnsupportedException($"the schedule '{name}'"),
    };

    private static ScheduleOptions Options(JsonElement given, double rate)
    {
        var options = new ScheduleOptions();
        if (given.ValueKind != JsonValueKind.Object)
        {
            return options;
        }

        foreach (var option in given.EnumerateObject().Where(option => option.Value.ValueKind != JsonValueKind.Null))
        {
            options = option.Name switch
            {
                "num_cycles" => options with { Cycles = option.Value.GetDouble() },
                "min_lr" => options with { MinimumShare = option.Value.GetDouble() / rate },
                "min_lr_rate" or "min_lr_ratio" => options with { MinimumShare = option.Value.GetDouble() },
                "warmup_lr_rate" => options with { WarmupStartShare = option.Value.GetDouble() },
                "power" => options with { Power = option.Value.GetDouble() },
                "lr_end" => options with { EndRate = option.Value.GetDouble() },
                "timescale" => options with { Timescale = option.Value.GetInt32() },
                "num_decay_steps" => options with { DecaySteps = option.Value.GetInt32() },
                "warmup_type" => options with { WarmupShape = Shape(option.Value) },
                "decay_type" => options with { DecayShape = Shape(option.Value) },
                _ => throw new GoldenUnsupportedException($"the schedule's option '{option.Name}'"),
            };
        }

        return options;
    }

    private static RampShape Shape(JsonElement value) => value.GetString() switch
    {
        "linear" => RampShape.Linear,
        "cosine" => RampShape.Cosine,
        "1-sqrt" => RampShape.OneMinusSquareRoot,
        var shape => throw new GoldenUnsupportedException($"the schedule's shape '{shape}'"),
    };
}
