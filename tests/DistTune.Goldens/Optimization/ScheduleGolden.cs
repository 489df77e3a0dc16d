using System.Globalization;
using System.Text.Json;
using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Goldens.Optimization;

/// <summary>Tables of learning rates: name, options, warmup, total and the rate of every step.</summary>
public sealed class ScheduleGolden : IGoldenKind
{
    private static readonly string[] KnownOptions =
    [
        "num_cycles", "power", "lr_end", "timescale", "min_lr", "min_lr_rate", "warmup_lr_rate", "num_decay_steps", "decay_type", "warmup_type", "min_lr_ratio",
    ];

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        from file in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal)
        where JsonCase.HasAll(JsonCase.Root(file), "base_lr", "tables", "tolerance")
        select GoldenCase.OfFile(file);

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var root = JsonCase.Root(golden.Path);
        var tolerance = JsonCase.Number(root, "tolerance", "rel");
        foreach (var table in root.GetProperty("tables").EnumerateArray())
        {
            var schedule = new LearningRateSchedule(Settings(table, JsonCase.Number(root, "base_lr")));
            var step = 0;
            foreach (var rate in table.GetProperty("lr").EnumerateArray())
            {
                var subject = string.Create(CultureInfo.InvariantCulture, $"{table.GetProperty("name")} {table.GetProperty("options")}, warmup {table.GetProperty("warmup_steps")}, step {step}");
                meter.Note(subject, Math.Abs(schedule.RateAt(step) - rate.GetDouble()), tolerance * Math.Max(Math.Abs(rate.GetDouble()), 1e-12));
                step++;
            }
        }

        return Task.CompletedTask;
    }

    private static ScheduleSettings Settings(JsonElement table, double baseRate)
    {
        var options = table.GetProperty("options");
        if (options.EnumerateObject().FirstOrDefault(option => !KnownOptions.Contains(option.Name, StringComparer.Ordinal)) is { Value.ValueKind: not JsonValueKind.Undefined } unknown)
        {
            throw new GoldenUnsupportedException($"the schedule option {unknown.Name}");
        }

        double? Number(string name) => options.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;
        return new ScheduleSettings(Kind(table.GetProperty("name").GetString()), baseRate, table.GetProperty("warmup_steps").GetInt32(), table.GetProperty("total_steps").GetInt32())
        {
            Options = new ScheduleOptions
            {
                Cycles = Number("num_cycles"),
                MinimumShare = Number("min_lr_rate") ?? Number("min_lr_ratio") ?? Number("min_lr") / baseRate ?? 0,
                WarmupStartShare = Number("warmup_lr_rate"),
                Power = Number("power") ?? 1,
                EndRate = Number("lr_end") ?? 1e-7,
                Timescale = (int?)Number("timescale"),
                DecaySteps = (int)(Number("num_decay_steps") ?? 0),
                WarmupShape = Shape(options, "warmup_type", RampShape.Linear),
                DecayShape = Shape(options, "decay_type", RampShape.Cosine),
            },
        };
    }

    private static RampShape Shape(JsonElement options, string name, RampShape otherwise) => !options.TryGetProperty(name, out var value)
        ? otherwise
        : value.GetString() switch
        {
            "linear" => RampShape.Linear,
            "cosine" => RampShape.Cosine,
            "1-sqrt" => RampShape.OneMinusSquareRoot,
            var other => throw new GoldenUnsupportedException($"the ramp {other}"),
        };

    private static ScheduleKind Kind(string? name) => name switch
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
        _ => throw new GoldenUnsupportedException($"the schedule {name}"),
    };
}
