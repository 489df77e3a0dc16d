using System.Globalization;

namespace DistTune.Cluster.Tests.Network;

/// <summary>Processes that are joined by a network that loses packets; the fault table has its other faults.</summary>
public sealed class PacketNetworkTests
{
    [Fact]
    public async Task The_adapter_is_the_same_over_a_network_that_loses_and_reorders_packets()
    {
        const int Workers = 2;
        using var network = PacketNetwork.Create(Workers, seed: 1);
        var faults = new LineFaults { Loss = 0.02, Delay = TimeSpan.FromMilliseconds(2), Jitter = TimeSpan.FromMilliseconds(1.5) };
        var expected = await SmallRun.ExpectedAdapterAsync();
        using var run = new SmallRun();
        var networked = new NetworkedRun(run, network);
        network.Workers[0].Faults = faults;
        network.Workers[1].Faults = faults;

        await using var coordinator = networked.StartCoordinator(new Dictionary<string, string>(), "--set", string.Create(CultureInfo.InvariantCulture, $"distributed.min_workers={Workers}"));
        await using var first = networked.StartWorker(0);
        await using var second = networked.StartWorker(1);

        Assert.True(await coordinator.ExitCodeAsync() == 0, coordinator.Output);
        Assert.True(await first.ExitCodeAsync() == 0, first.Output);
        Assert.True(await second.ExitCodeAsync() == 0, second.Output);
        Assert.Equal(expected, run.SummarisedAdapter());
        Assert.True(network.Lines.Sum(line => line.Lost) > 0 && network.Lines.Sum(line => line.Overtaken) > 0, network.Toll);
    }
}
