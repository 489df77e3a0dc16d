using System.Globalization;
using DistTune.Core.Optimization;

namespace DistTune.Goldens.Optimization;

/// <summary>How a warmup option is rounded to steps.</summary>
public sealed class WarmupGolden : IGoldenKind
{
    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        from file in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal)
        let root = JsonCase.Root(file)
        where JsonCase.HasAll(root, "rows") && root.GetProperty("rows").EnumerateArray().All(row => JsonCase.HasAll(row, "total_steps", "warmup_steps_option", "warmup_steps"))
        select GoldenCase.OfFile(file);

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        foreach (var row in JsonCase.Root(golden.Path).GetProperty("rows").EnumerateArray())
        {
            var (option, total) = (JsonCase.Number(row, "warmup_steps_option"), row.GetProperty("total_steps").GetInt32());
            meter.Equal(string.Create(CultureInfo.InvariantCulture, $"{option} of {total}"), LearningRateSchedule.WarmupSteps(option, total), row.GetProperty("warmup_steps").GetInt32());
        }

        return Task.CompletedTask;
    }
}
