using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using DistTune.Core;
using DistTune.Engine;
using DistTune.Engine.Journal;

namespace DistTune.Cli.Benchmarking;

/// <summary>What faults cost.</summary>
/// <param name="Parameters">Trained parameters.</param>
/// <param name="WorkerSeconds">From kill -9 of a worker until its groups are to be had again, every time.</param>
/// <param name="GroupsLost">Groups that were given out again, every time.</param>
/// <param name="CoordinatorSeconds">From kill -9 of the coordinator until a worker has joined the next one, which grants it a group at once.</param>
/// <param name="StepSeconds">A step without faults.</param>
/// <param name="GroupsPerSecond">Groups a second of four workers without faults.</param>
/// <param name="GroupsPerSecondUnderKills">The same while one of them is killed and started again every ten seconds.</param>
internal sealed record FaultNumbers(
    long Parameters,
    IReadOnlyList<double> WorkerSeconds,
    IReadOnlyList<int> GroupsLost,
    IReadOnlyList<double> CoordinatorSeconds,
    double StepSeconds,
    double GroupsPerSecond,
    double GroupsPerSecondUnderKills)
{
    /// <summary>Share of the throughput that is left under kills.</summary>
    public double Held => GroupsPerSecondUnderKills / GroupsPerSecond;
}

/// <summary>Trains with processes on this machine, kills them, and takes the times.</summary>
internal sealed partial class FaultBenchmark(int kills, TimeSpan window, TextWriter progress)
{
    private const int Workers = 4;
    private static readonly TimeSpan KillInterval = TimeSpan.FromSeconds(10);

    /// <exception cref="DistTuneException">A process of the run failed.</exception>
    public async Task<FaultNumbers> RunAsync(CancellationToken cancellationToken)
    {
        using var run = new FaultRun(FaultRunShape.Small);
        var workers = new List<ServiceUnderTest>();
        var coordinator = run.StartCoordinator();
        try
        {
            progress.WriteLine("starting coordinator and two workers");
            workers.AddRange([run.StartWorker(0), run.StartWorker(1)]);
            await coordinator.PrintsAsync("joined with", 2, cancellationToken).ConfigureAwait(false);
            await coordinator.PrintsAsync("Step ", 2, cancellationToken).ConfigureAwait(false);
            var parameters = long.Parse(ParameterCount().Match(coordinator.LinesWith("trained parameters")[0]).Groups[1].Value, CultureInfo.InvariantCulture);

            var (workerSeconds, lost) = (new List<double>(), new List<int>());
            for (var kill = 0; kill < kills; kill++)
            {
                progress.WriteLine("killing a worker");
                var started = Stopwatch.GetTimestamp();
                await workers[0].KillAsync().ConfigureAwait(false);
                await coordinator.PrintsAsync("is gone", kill + 1, cancellationToken).ConfigureAwait(false);
                workerSeconds.Add(Stopwatch.GetElapsedTime(started).TotalSeconds);
                lost.Add(int.Parse(GroupCount().Match(coordinator.LinesWith("is gone")[^1]).Groups[1].Value, CultureInfo.InvariantCulture));
                workers[0].Dispose();
                workers[0] = run.StartWorker(0);
                await coordinator.PrintsAsync("joined with", kill + 3, cancellationToken).ConfigureAwait(false);
                await coordinator.PrintsAsync("Step ", coordinator.LinesWith("Step ").Count + 1, cancellationToken).ConfigureAwait(false);
            }

            var coordinatorSeconds = new List<double>();
            for (var kill = 0; kill < kills; kill++)
            {
                progress.WriteLine("killing the coordinator");
                var started = Stopwatch.GetTimestamp();
                await coordinator.KillAsync().ConfigureAwait(false);
                coordinator.Dispose();
                coordinator = run.StartCoordinator();
                await coordinator.PrintsAsync("joined with", 1, cancellationToken).ConfigureAwait(false);
                coordinatorSeconds.Add(Stopwatch.GetElapsedTime(started).TotalSeconds);
                await coordinator.PrintsAsync("Step ", 2, cancellationToken).ConfigureAwait(false);
            }

            progress.WriteLine("four workers without faults");
            workers.AddRange(Enumerable.Range(2, Workers - 2).Select(run.StartWorker));
            await coordinator.PrintsAsync("joined with", Workers, cancellationToken).ConfigureAwait(false);
            var calm = await MeasureAsync(run, () => Task.CompletedTask, cancellationToken).ConfigureAwait(false);
            progress.WriteLine("four workers, one killed every ten seconds");
            var victim = 0;
            var shaken = await MeasureAsync(run, KillOneAsync, cancellationToken).ConfigureAwait(false);
            return new FaultNumbers(
                parameters, workerSeconds, lost, coordinatorSeconds, calm.Seconds / Math.Max(1, calm.Steps), calm.Groups / calm.Seconds, shaken.Groups / shaken.Seconds);

            async Task KillOneAsync()
            {
                var rank = victim++ % Workers;
                await workers[rank].KillAsync().ConfigureAwait(false);
                workers[rank].Dispose();
                workers[rank] = run.StartWorker(rank);
            }
        }
        finally
        {
            foreach (var worker in workers)
            {
                worker.Dispose();
            }

            coordinator.Dispose();
        }
    }

    private async Task<(int Groups, int Steps, double Seconds)> MeasureAsync(FaultRun run, Func<Task> interrupt, CancellationToken cancellationToken)
    {
        var before = RunHistory.Read(run.OutputFolder).Entries;
        var started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started) < window)
        {
            await interrupt().ConfigureAwait(false);
            await Task.Delay(KillInterval, cancellationToken).ConfigureAwait(false);
        }

        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        var since = RunHistory.Read(run.OutputFolder).Entries.Skip(before.Count).Select(entry => entry.Record).ToList();
        return (since.Count(record => record is GroupDone), since.Count(record => record is StepCommitted), seconds);
    }

    [GeneratedRegex(@"steps, (\d+) trained parameters")]
    private static partial Regex ParameterCount();

    [GeneratedRegex(@"; (\d+) groups given out again")]
    private static partial Regex GroupCount();
}
