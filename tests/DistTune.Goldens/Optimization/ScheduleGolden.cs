using System.Globalization;
using System.Text.Json;
using DistTune.Core.Optimization;

namespace DistTune.Goldens.Optimization;

/// <summary>Tables of learning rates: name, options, warmup, total and the rate of every step.</summary>
public sealed class ScheduleGolden : IGoldenKind
{
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
            var (warmup, total) = (table.GetProperty("warmup_steps").GetInt32(), table.GetProperty("total_steps").GetInt32());
            var settings = ScheduleCase.Read(table.GetProperty("name").GetString()!, table.GetProperty("options"), JsonCase.Number(root, "base_lr"), warmup, total);
            var schedule = new LearningRateSchedule(settings);
            var step = 0;
            foreach (var rate in table.GetProperty("lr").EnumerateArray())
            {
                var subject = string.Create(CultureInfo.InvariantCulture, $"{table.GetProperty("name")} {JsonSerializer.Serialize(table.GetProperty("options"))}, warmup {table.GetProperty("warmup_steps")}, step {step}");
                meter.Note(subject, Math.Abs(schedule.RateAt(step) - rate.GetDouble()), tolerance * Math.Max(Math.Abs(rate.GetDouble()), 1e-12));
                step++;
            }
        }

        return Task.CompletedTask;
    }
}
