using System.Text.Json;
using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Optimization;

public sealed class LearningRateScheduleTests
{
    [Fact]
    public void RateAt_EveryTable_MatchesTransformers()
    {
        var golden = OptimGoldens.Json("lr_schedules.json");
        var baseRate = golden.GetProperty("base_lr").GetDouble();
        var tolerance = golden.GetProperty("tolerance").GetProperty("rel").GetDouble();
        foreach (var table in golden.GetProperty("tables").EnumerateArray())
        {
            var schedule = new LearningRateSchedule(Settings(table, baseRate));
            var step = 0;
            foreach (var expected in table.GetProperty("lr").EnumerateArray().Select(value => value.GetDouble()))
            {
                var actual = schedule.RateAt(step);
                Assert.True(
                    Math.Abs(expected - actual) <= tolerance * Math.Max(Math.Abs(expected), 1e-12),
                    $"{table.GetProperty("name")} {table.GetProperty("options")}, step {step}: expected {expected:R}, got {actual:R}.");
                step++;
            }
        }
    }

    [Fact]
    public void WarmupSteps_EveryRow_MatchesTransformers()
    {
        foreach (var row in OptimGoldens.Json("warmup_rounding.json").GetProperty("rows").EnumerateArray())
        {
            Assert.Equal(
                row.GetProperty("warmup_steps").GetInt32(),
                LearningRateSchedule.WarmupSteps(row.GetProperty("warmup_steps_option").GetDouble(), row.GetProperty("total_steps").GetInt32()));
        }
    }

    [Fact]
    public void RateAt_NegativeStep_Throws() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new LearningRateSchedule(new ScheduleSettings(ScheduleKind.Linear, 1, 0, 1)).RateAt(-1));

    private static ScheduleSettings Settings(JsonElement table, double baseRate)
    {
        var options = table.GetProperty("options");
        double? Number(string name) => options.TryGetProperty(name, out var value) ? value.GetDouble() : null;
        RampShape Shape(string name, RampShape fallback) => !options.TryGetProperty(name, out var value)
            ? fallback
            : value.GetString() switch { "linear" => RampShape.Linear, "cosine" => RampShape.Cosine, _ => RampShape.OneMinusSquareRoot };
        var kind = table.GetProperty("name").GetString() switch
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
            var name => throw new InvalidDataException($"No kind for {name}."),
        };
        return new ScheduleSettings(kind, baseRate, table.GetProperty("warmup_steps").GetInt32(), table.GetProperty("total_steps").GetInt32())
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
                WarmupShape = Shape("warmup_type", RampShape.Linear),
                DecayShape = Shape("decay_type", RampShape.Cosine),
            },
        };
    }
}
