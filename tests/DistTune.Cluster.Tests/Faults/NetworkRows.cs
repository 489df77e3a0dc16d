using System.Globalization;
using System.Text.RegularExpressions;

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

    [Fact]
    public async Task Half_sent_uploads_go_on_where_they_were_cut()
    {
        await using var cluster = new FaultCluster();

        // So narrow that a worker spends its time sending.
        var networks = new List<FaultyNetwork> { new(cluster.Port) { BytesPerSecond = 1 << 17 } };
        var coordinator = Start(cluster, networks, out var workers);
        await coordinator.PrintsAsync("Step 1/");
        while (!coordinator.HasEnded && !Resumed(workers[0]).Any(bytes => bytes > 0))
        {
            networks[0].CutAll();
            await workers[0].PrintsAsync("joined", workers[0].CountOf("joined") + 1);
            await Task.Delay(TimeSpan.FromMilliseconds(50), TestContext.Current.CancellationToken);
        }

        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        await EndAsync(networks);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        var most = Resumed(workers[0]).Max();
        Assert.True(most > 0, workers[0].Output);
        TableRow.Held("connection cut in mid-upload, network of 128 KiB/s", FormattableString.Invariant($"up to {most} bytes of a result were not sent again; same SHA-256"));
    }

    private static IEnumerable<long> Resumed(ServiceProcess worker) => Regex.Matches(worker.Output, "outlived its connection: ([0-9]+) bytes")
        .Select(match => long.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture));

    private static ServiceProcess Start(FaultCluster cluster, List<FaultyNetwork> networks) => Start(cluster, networks, out _);

    private static ServiceProcess Start(FaultCluster cluster, List<FaultyNetwork> networks, out ServiceProcess[] workers)
    {
        var coordinator = cluster.StartCoordinator("--set", string.Create(CultureInfo.InvariantCulture, $"distributed.min_workers={networks.Count}"));
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
