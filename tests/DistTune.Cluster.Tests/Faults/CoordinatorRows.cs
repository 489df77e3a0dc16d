using System.Globalization;
using DistTune.Core.Training;
using DistTune.Engine;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Rows of the fault table about coordinators that die. The simulation stops at every single operation; this kills in earnest.</summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class CoordinatorRows
{
    private const int Kills = 5;

    [Theory]
    [InlineData(1, 11)]
    [InlineData(2, 12)]
    [InlineData(3, 13)]
    public async Task Kill_9_of_the_coordinator_at_random_moments(int workers, ulong seed)
    {
        await using var cluster = new FaultCluster();
        var (coordinator, running) = cluster.Start(workers);
        await coordinator.PrintsAsync("Step 1/");
        var killed = 0;
        while (killed < Kills)
        {
            // From the first moment after it listens to some steps later. Counted in steps: a fast machine must not be done before.
            var random = CounterRandom.Hash(seed, (ulong)killed, 0);
            await cluster.ReachesAsync(cluster.History().Run().Steps.Count + (int)(random % 4), coordinator);
            await Task.Delay(TimeSpan.FromMilliseconds((random >> 8) % 40), TestContext.Current.CancellationToken);
            if (coordinator.HasEnded)
            {
                break;
            }

            await coordinator.SignalAsync("KILL");
            await coordinator.ExitCodeAsync();
            killed++;
            coordinator = cluster.StartCoordinator();
            await coordinator.PrintsAsync("goes on in term");
        }

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        Assert.True(killed > 1, "The run was over before it could be killed.");
        Assert.Equal(killed + 1, cluster.History().Run().Term);
        Assert.DoesNotContain(cluster.History().Entries, entry => entry.Record is GroupReopened);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        foreach (var worker in running)
        {
            Assert.True(await worker.ExitCodeAsync() == 0, worker.Output);
        }

        TableRow.Held(
            string.Create(CultureInfo.InvariantCulture, $"kill -9 of the coordinator, {workers} workers, seed {seed}"),
            string.Create(CultureInfo.InvariantCulture, $"went on {killed} times, nothing acknowledged computed again; same SHA-256"));
    }

    [Fact]
    public async Task Two_coordinators_on_one_run()
    {
        await using var cluster = new FaultCluster();
        var (first, workers) = cluster.Start(1);
        await FaultCluster.HoldAtAsync(1, first, workers);

        await using var second = ProcessTests.StartCoordinator(cluster.Run, LocalCluster.FreePort());
        Assert.Equal(2, await second.ExitCodeAsync());
        Assert.Contains("Another coordinator drives the run", second.Output, StringComparison.Ordinal);

        await FaultCluster.LetGoAsync(workers);
        await cluster.EndsWithTheSameAdapterAsync(first);
        TableRow.Held("two coordinators on one run", "the second refuses with exit 2, the first is not disturbed; same SHA-256");
    }

    [Theory]
    [InlineData("+1d")]
    [InlineData("-1d")]
    public async Task Wall_clock_moved_by_a_day(string offset)
    {
        var library = Directory.Exists("/usr/lib") ? Directory.EnumerateFiles("/usr/lib", "libfaketimeMT.so.1", new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true }).FirstOrDefault() : null;
        Assert.SkipWhen(library is null, "libfaketime is not installed (Debian: apt-get install libfaketime)");
        await using var cluster = new FaultCluster();
        var clock = Path.Combine(Path.GetDirectoryName(cluster.Run.ConfigPath)!, "clock");
        await File.WriteAllTextAsync(clock, "+0", TestContext.Current.CancellationToken);
        var coordinator = cluster.StartCoordinatorWith(
            new Dictionary<string, string>
            {
                ["LD_PRELOAD"] = library!,
                ["FAKETIME_TIMESTAMP_FILE"] = clock,
                ["FAKETIME_NO_CACHE"] = "1",
                ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1",
            },
            "--set",
            "distributed.lease_seconds=60");
        ServiceProcess[] workers = [cluster.StartWorker(0), cluster.StartWorker(1)];
        await FaultCluster.HoldAtAsync(2, coordinator, workers);
        await File.WriteAllTextAsync(clock, offset, TestContext.Current.CancellationToken);
        await FaultCluster.LetGoAsync(workers);

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        var times = cluster.History().Entries.Select(entry => entry.Time).ToList();
        Assert.True((times[^1] - times[0]).Duration() > TimeSpan.FromHours(23), "The clock did not move.");
        Assert.DoesNotContain("no progress for", coordinator.Output, StringComparison.Ordinal);
        TableRow.Held($"wall clock moved by {offset} in mid-run", "no lease changes hands; same SHA-256");
    }
}
