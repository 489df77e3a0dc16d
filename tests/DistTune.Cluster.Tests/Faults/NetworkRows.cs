using System.Globalization;

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
            networks[cuts % workers].CutAll();
            await coordinator.PrintsAsync("joined with", workers + cuts + 1);
            await Task.Delay(TimeSpan.FromMilliseconds(150), TestContext.Current.CancellationToken);
        }

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        await EndAsync(networks);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        TableRow.Held(
            string.Create(CultureInfo.InvariantCulture, $"lossy network: connections cut {cuts} times, uploads half sent, {workers} workers"),
            "nothing of a half-sent upload is used, the workers join again; same SHA-256");
    }

    [Fact]
    public async Task One_way_network()
    {
        await using var cluster = new FaultCluster();
        var networks = new List<FaultyNetwork> { new(cluster.Port), new(cluster.Port) };
        var coordinator = Start(cluster, networks, "--set", "distributed.lease_seconds=3");
        await coordinator.PrintsAsync("Step 2/");

        // Its reports still arrive; grants and adapters don't.
        networks[0].SwallowsAnswers = true;
        await coordinator.PrintsAsync("Step 20/");
        networks[0].SwallowsAnswers = false;
        networks[0].CutAll();

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        await EndAsync(networks);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        TableRow.Held("one-way network: a worker's reports arrive, what it is sent does not, 2 workers", "its leases end although it is heard, the other goes on; same SHA-256");
    }

    private static ServiceProcess Start(FaultCluster cluster, List<FaultyNetwork> networks, params string[] arguments)
    {
        var coordinator = cluster.StartCoordinator(["--set", string.Create(CultureInfo.InvariantCulture, $"distributed.min_workers={networks.Count}"), .. arguments]);
        for (var rank = 0; rank < networks.Count; rank++)
        {
            cluster.StartWorker(rank, networks[rank].Port);
        }

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
