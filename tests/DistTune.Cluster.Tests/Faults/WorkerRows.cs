using System.Diagnostics;
using System.Globalization;
using DistTune.Core.Training;
using DistTune.Engine;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Rows of the fault table about workers that die, leave and hang.</summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class WorkerRows
{
    private const int MostKills = 12;
    private static readonly TimeSpan MostGrace = TimeSpan.FromMinutes(1);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public async Task Kill_9_of_a_worker_mid_backward(int workers)
    {
        await using var cluster = new FaultCluster();
        var (coordinator, running) = cluster.Start(workers);
        var (kills, requeued) = (0, 0);

        // A worker that is stopped first can't hand in what it holds before it dies, and while all are stopped the step stays open:
        // sooner or later one of them holds a group.
        await FaultCluster.HoldAtAsync(2, coordinator, running);
        while (requeued == 0 && kills < MostKills && !coordinator.HasEnded)
        {
            var victim = kills++ % workers;
            await running[victim].SignalAsync("STOP");
            await running[victim].SignalAsync("KILL");
            await running[victim].ExitCodeAsync();
            await coordinator.PrintsAsync($"worker-{victim} is gone", kills == 1 ? 1 : (kills + workers - 1) / workers);
            requeued = coordinator.CountOf("is gone") - coordinator.CountOf("; 0 groups given out again");
            running[victim] = cluster.StartWorker(victim);
            if (requeued == 0 && kills % workers == 0)
            {
                // Everybody had a turn: on with the run, until it is a step further.
                var steps = cluster.History().Run().Steps.Count;
                await FaultCluster.LetGoAsync(running);
                await cluster.ReachesAsync(steps + 1, coordinator);
                await ServiceProcess.SignalAsync("STOP", running);
            }
        }

        await FaultCluster.LetGoAsync(running);

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        Assert.True(requeued > 0, $"No worker held a group when it was killed.{Environment.NewLine}{coordinator.Output}");
        Assert.DoesNotContain("no progress for", coordinator.Output, StringComparison.Ordinal);
        TableRow.Held(
            string.Create(CultureInfo.InvariantCulture, $"kill -9 of a worker mid-backward, {workers} workers"),
            string.Create(CultureInfo.InvariantCulture, $"{kills} killed, its groups given out again on the stream's reset, not the lease's end; same SHA-256"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task SIGTERM(int workers)
    {
        await using var cluster = new FaultCluster();
        var (coordinator, running) = cluster.Start(workers);
        await FaultCluster.HoldAtAsync(3, coordinator, running);

        var asked = Stopwatch.GetTimestamp();
        await running[0].SignalAsync("TERM");
        await FaultCluster.LetGoAsync(running);
        Assert.True(await running[0].ExitCodeAsync(MostGrace) == 0, running[0].Output);
        var taken = Stopwatch.GetElapsedTime(asked);
        var done = cluster.History().Entries.Count(entry => entry.Record is GroupDone { Worker: "worker-0" });
        if (workers == 1)
        {
            cluster.StartWorker(workers);
        }

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        Assert.Equal(done, cluster.History().Entries.Count(entry => entry.Record is GroupDone { Worker: "worker-0" }));
        TableRow.Held(
            string.Create(CultureInfo.InvariantCulture, $"SIGTERM, {workers} workers"),
            string.Create(CultureInfo.InvariantCulture, $"exit 0 after {taken.TotalSeconds:0.0} s, no group for it afterwards; same SHA-256"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task SIGSTOP_for_longer_than_the_lease(int workers)
    {
        await using var cluster = new FaultCluster();
        var (coordinator, running) = cluster.Start(workers, "--set", "distributed.lease_seconds=2");
        const string Lost = "of worker worker-0 is given out again: no progress for 2 s";
        await FaultCluster.HoldAtAsync(2, coordinator, running);
        for (var stops = 0; stops < MostKills && coordinator.CountOf(Lost) == 0 && !coordinator.HasEnded; stops++)
        {
            // With all stopped the step stays open for as long as it takes.
            for (var waited = 0; waited < 50 && coordinator.CountOf(Lost) == 0; waited++)
            {
                await Task.Delay(100, TestContext.Current.CancellationToken);
            }

            if (coordinator.CountOf(Lost) == 0)
            {
                // It happened to hold nothing.
                await FaultCluster.LetGoAsync(running);
                await Task.Delay(TimeSpan.FromMilliseconds(20 + (7 * stops)), TestContext.Current.CancellationToken);
                await ServiceProcess.SignalAsync("STOP", running);
            }
        }

        // The others compute its group before it wakes up.
        var steps = cluster.History().Run().Steps.Count;
        await FaultCluster.LetGoAsync(running[1..]);
        await (workers > 1 ? cluster.ReachesAsync(steps + 1, coordinator) : Task.CompletedTask);
        await FaultCluster.LetGoAsync(running);
        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        Assert.Contains(Lost, coordinator.Output, StringComparison.Ordinal);
        AssertEveryGroupCountsOnce(cluster);
        TableRow.Held(
            string.Create(CultureInfo.InvariantCulture, $"SIGSTOP and SIGCONT, {workers} workers"),
            string.Create(CultureInfo.InvariantCulture, $"lease of 2 s taken back, the late result counted at most once ({coordinator.CountOf("was not taken")} turned away); same SHA-256"));
    }

    internal static void AssertEveryGroupCountsOnce(FaultCluster cluster)
    {
        var entries = cluster.History().Entries;
        var done = entries.Select(entry => entry.Record).OfType<GroupDone>().Select(record => record.Group).ToList();
        var reopened = entries.Count(entry => entry.Record is GroupReopened);
        Assert.Equal(done.Count - reopened, done.Distinct().Count());
        Assert.Equal(FaultCluster.Steps * 4, done.Distinct().Count(group => group.Kind == GroupKind.Train));
    }
}
