using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using DistTune.Engine;

namespace DistTune.Cli.Benchmarking;

/// <summary>What losing nothing takes of a step, measured inside a run.</summary>
/// <param name="Description">The run.</param>
/// <param name="Parameters">Trained parameters.</param>
/// <param name="StepSeconds">Every step's length.</param>
/// <param name="WaitSeconds">Of that, what lanes and commit waited for hashes, spool and journal: as the coordinator measured it.</param>
/// <param name="VerifySeconds">What a worker's lanes wait for the checksums of the next adapter version.</param>
/// <param name="StreamedSeconds">Processor time of the gradients' checksums at both ends, which are made while the workers compute.</param>
internal sealed record OverheadNumbers(
    string Description, long Parameters, IReadOnlyList<double> StepSeconds, IReadOnlyList<double> WaitSeconds, double VerifySeconds, double StreamedSeconds)
{
    /// <summary>Median step.</summary>
    public double Step => Median(StepSeconds);

    /// <summary>Median share of a step's critical path.</summary>
    public double Share => Median([.. StepSeconds.Zip(WaitSeconds, (step, wait) => (wait + VerifySeconds) / step)]);

    /// <summary>Share of the processors' time that the streamed checksums take, where workers and coordinator share them.</summary>
    public double StreamedShare => StreamedSeconds / (Step * Environment.ProcessorCount);

    private static double Median(IReadOnlyList<double> values) => values.Order().ElementAt(values.Count / 2);
}

/// <summary>Trains a few usual steps with two workers and reads from the run's own metrics what they waited for.</summary>
internal sealed partial class OverheadBenchmark(int steps, TextWriter progress)
{
    private const int Workers = 2;
    private const int Groups = 4;

    public async Task<OverheadNumbers> RunAsync(CancellationToken cancellationToken)
    {
        using var run = new FaultRun(FaultRunShape.Usual);
        progress.WriteLine($"{run.Description}: {steps} steps");
        using var coordinator = run.StartCoordinator();
        var workers = Enumerable.Range(0, Workers).Select(run.StartWorker).ToList();
        try
        {
            // The first step warms up.
            for (var step = 1; step <= steps + 1; step++)
            {
                await coordinator.PrintsAsync("Step ", step, cancellationToken).ConfigureAwait(false);
            }

            var parameters = long.Parse(ParameterCount().Match(coordinator.LinesWith("trained parameters")[0]).Groups[1].Value, CultureInfo.InvariantCulture);
            foreach (var worker in workers)
            {
                await worker.KillAsync().ConfigureAwait(false);
            }

            await coordinator.KillAsync().ConfigureAwait(false);
            var taken = ReadSteps(Path.Combine(run.OutputFolder, MetricsJournal.FileName)).Skip(1).ToList();
            var cost = ChecksumCost.Measure(checked((int)parameters));
            return new OverheadNumbers(
                run.Description, parameters, [.. taken.Select(step => step.Step)], [.. taken.Select(step => step.Wait)], cost.Crc + cost.Sha, 2 * Groups * (cost.Crc + cost.Sha));
        }
        finally
        {
            foreach (var worker in workers)
            {
                worker.Dispose();
            }
        }
    }

    private static IEnumerable<(double Step, double Wait)> ReadSteps(string path)
    {
        foreach (var line in File.ReadLines(path))
        {
            using var json = JsonDocument.Parse(line);
            if (json.RootElement.GetProperty("event").GetString() == "step")
            {
                yield return (json.RootElement.GetProperty("step_seconds").GetDouble(), json.RootElement.GetProperty("durability_seconds").GetDouble());
            }
        }
    }

    [GeneratedRegex(@"steps, (\d+) trained parameters")]
    private static partial Regex ParameterCount();
}
