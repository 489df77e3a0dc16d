using System.Globalization;
using DistTune.Core.Planning;
using Spectre.Console;

namespace DistTune.Cli.Output;

/// <summary>What a run came to, for people.</summary>
internal static class SummaryReport
{
    private const double BytesPerMebibyte = 1024 * 1024;

    /// <summary>Writes samples, losses, speed, and the adapter's place last.</summary>
    public static void Write(IAnsiConsole console, RunSummary summary, int samples = 2)
    {
        foreach (var sample in Shown(summary, samples))
        {
            console.WriteLine();
            console.MarkupLineInterpolated($"[bold]{sample.Prompt}[/]");
            console.MarkupLineInterpolated($"  before: [grey]{OneLine(sample.Before)}[/]");
            console.MarkupLineInterpolated($"  after:  {OneLine(sample.After)}");
        }

        console.WriteLine();
        if (summary is { LossBefore: { } lossBefore, LossAfter: { } lossAfter })
        {
            console.WriteLine(Text($"held-out loss  {lossBefore:0.0000} -> {lossAfter:0.0000}"));
        }

        if (summary is { F1Before: { } f1Before, F1After: { } f1After })
        {
            console.WriteLine(Text($"token F1       {f1Before:0.000} -> {f1After:0.000}"));
        }

        console.WriteLine(Text($"{summary.Steps} steps, {summary.Workers} {(summary.Workers == 1 ? "worker" : "workers")}, {summary.TokensPerSecond:0} tokens/s, peak memory {summary.PeakMemoryBytes / BytesPerMebibyte:0} MiB, {summary.Seconds:0.0} s"));
        console.WriteLine($"adapter        {summary.AdapterPath}");
        console.WriteLine($"sha-256        {summary.AdapterSha256}");
    }

    // Prompts that the user asked for come last in a run; held-out ones are shown where there are none.
    private static IEnumerable<SamplePair> Shown(RunSummary summary, int count)
    {
        var asked = summary.Samples.Where(sample => sample.Reference is null).ToArray();
        return (asked.Length > 0 ? asked : [.. summary.Samples]).Take(Math.Max(count, asked.Length));
    }

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
