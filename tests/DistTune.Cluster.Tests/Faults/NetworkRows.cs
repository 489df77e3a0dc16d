using System.Globalization;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Rows of the fault table about connections that are reset; what is lost below TCP is in <see cref="PacketRows"/>.</summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class NetworkRows
{
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
            string.Create(CultureInfo.InvariantCulture, $"connections cut {cuts} times, uploads half sent, {workers} workers"),
            "nothing of a half-sent upload is used, the workers join again; same SHA-256");
    }

    private static ServiceProcess Start(FaultCluster cluster, List<FaultyNetwork> networks)
    {
        var coordinator = cluster.StartCoordinator("--set", string.Create(CultureInfo.InvariantCulture, $"distributed.min_workers={networks.Count}"));
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
