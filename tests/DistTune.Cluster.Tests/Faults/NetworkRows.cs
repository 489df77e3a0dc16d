using System.Globalization;
using DistTune.Core.Training;
using DistTune.Engine;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Rows of the fault table about networks: each worker reaches the coordinator through a network of its own.</summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class NetworkRows
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Slow_network(int workers)
    {
        await using var cluster = new FaultCluster();
        var networks = Enumerable.Range(0, workers).Select(rank => new FaultyNetwork(cluster.Port) { Delay = TimeSpan.FromMilliseconds(5 + (10 * rank)), BytesPerSecond = 1 << 20 }).ToList();
        var coordinator = Start(cluster, networks);

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        await EndAsync(networks);
        Assert.DoesNotContain("no progress for", coordinator.Output, StringComparison.Ordinal);
        TableRow.Held(string.Create(CultureInfo.InvariantCulture, $"network of 1 MiB/s and 5 to 25 ms, {workers} workers"), "progress by bytes, no lease lost; same SHA-256");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Connections_cut_in_the_middle_of_whatever_they_carry(int workers)
    {
        const int Cuts = 5;
        await using var cluster = new FaultCluster();
        var networks = Enumerable.Range(0, workers).Select(_ => new FaultyNetwork(cluster.Port) { Delay = TimeSpan.FromMilliseconds(2) }).ToList();
        var coordinator = Start(cluster, networks);
        await coordinator.PrintsAsync("Step 1/");
        var cuts = 0;
        for (; cuts < Cuts && !coordinator.HasEnded; cuts++)
        {
            // All at once: nobody brings the run to its end meanwhile. Then on for two steps and some milliseconds more.
            networks.ForEach(network => network.CutAll());
            await coordinator.PrintsAsync("joined with", workers * (cuts + 2));
            await cluster.ReachesAsync(cluster.History().Run().Steps.Count + 2, coordinator);
            await Task.Delay(TimeSpan.FromMilliseconds(7 * cuts), TestContext.Current.CancellationToken);
        }

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        await EndAsync(networks);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        TableRow.Held(
            string.Create(CultureInfo.InvariantCulture, $"lossy network: connections cut {cuts} times, uploads half sent, {workers} workers"),
            "nothing of a half-sent upload is used, the workers join again; same SHA-256");
    }

    [Theory]
    [InlineData("answers")]
    [InlineData("reports")]
    public async Task One_way_network(string lost)
    {
        await using var cluster = new FaultCluster();
        var networks = new List<FaultyNetwork> { new(cluster.Port), new(cluster.Port) };
        var coordinator = Start(cluster, networks, out var workers, "--set", "distributed.lease_seconds=3");
        await FaultCluster.HoldAtAsync(2, coordinator, workers);
        var parted = cluster.History().Run().Steps.Count;

        networks[0].SwallowsAnswers = lost == "answers";
        networks[0].SwallowsReports = lost == "reports";
        await FaultCluster.LetGoAsync(workers);
        await cluster.ReachesAsync(20, coordinator);
        networks[0].SwallowsAnswers = false;
        networks[0].SwallowsReports = false;
        networks[0].CutAll();

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        await EndAsync(networks);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        var alone = cluster.History().Entries.Select(entry => entry.Record).OfType<GroupDone>()
            .Where(done => done.Group.Kind == GroupKind.Train && done.Group.Step >= parted + 2 && done.Group.Step < 18).Select(done => done.Worker).Distinct();
        Assert.Equal(["worker-1"], alone);
        TableRow.Held($"one-way network: a worker's {lost} are lost, the other direction works, 2 workers", "the other goes on alone until the network is whole; same SHA-256");
    }

    private static ServiceProcess Start(FaultCluster cluster, List<FaultyNetwork> networks) => Start(cluster, networks, out _);

    private static ServiceProcess Start(FaultCluster cluster, List<FaultyNetwork> networks, out ServiceProcess[] workers, params string[] arguments)
    {
        var coordinator = cluster.StartCoordinator(["--set", string.Create(CultureInfo.InvariantCulture, $"distributed.min_workers={networks.Count}"), .. arguments]);
        workers = [.. networks.Select((network, rank) => cluster.StartWorker(rank, network.Port))];
        return coordinator;
    }

    private static async Task EndAsync(List<FaultyNetwork> networks)
    {
        foreach (var network in networks)
        {
            await network.DisposeAsync();
        }
    }
}
