using System.Diagnostics;
using System.Globalization;
using DistTune.Cluster.Tests.Network;
using DistTune.Core.Training;
using DistTune.Engine;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Rows of the fault table about networks whose packets are lost, late, overtaken, doubled and cut off: every process has an address of its own.</summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class PacketRows
{
    private const ulong Seed = 2026;

    // From the network's return until the run is a step further. Seconds; a loaded machine gets a minute.
    private static readonly TimeSpan MostRecovery = TimeSpan.FromMinutes(1);

    [Fact]
    public Task Whole_network() => HoldsAsync(2, "whole network", LineFaults.None);

    [Theory]
    [InlineData(1, 10)]
    [InlineData(3, 10)]
    [InlineData(8, 2)]
    public Task Lossy_network(int workers, int percent) =>
        HoldsAsync(workers, $"{percent}% of packets lost", new LineFaults { Loss = percent / 100.0 }, line => line.Lost);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public Task Late_and_overtaken_packets(int workers) => HoldsAsync(
        workers, "packets late by 20 ± 15 ms", new LineFaults { Delay = TimeSpan.FromMilliseconds(20), Jitter = TimeSpan.FromMilliseconds(15) }, line => line.Overtaken);

    [Fact]
    public Task Doubled_packets() => HoldsAsync(2, "20% of packets doubled", new LineFaults { Duplication = 0.2 }, line => line.Doubled);

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public Task Slow_network(int workers) => HoldsAsync(workers, "256 KiB/s", new LineFaults { BytesPerSecond = 256 * 1024 }, line => line.Queued);

    [Theory]
    [InlineData("answers", 2)]
    [InlineData("reports", 2)]
    [InlineData("both", 1)]
    [InlineData("both", 3)]
    public async Task Worker_parted_from_the_coordinator(string lost, int workers)
    {
        using var network = PacketNetwork.Create(workers, Seed);
        await using var cluster = new FaultCluster(network);
        var (coordinator, running) = cluster.Start(workers, "--set", "distributed.lease_seconds=3");
        await FaultCluster.HoldAtAsync(2, coordinator, running);
        var parted = cluster.History().Run().Steps.Count;
        var cut = Stopwatch.GetTimestamp();
        network.Workers[0].Receives.Faults = lost is "answers" or "both" ? LineFaults.Cut : LineFaults.None;
        network.Workers[0].Sends.Faults = lost is "reports" or "both" ? LineFaults.Cut : LineFaults.None;
        await FaultCluster.LetGoAsync(running);

        // The others go on alone, and then wait: the run must still be there when the first comes back.
        await (workers > 1 ? cluster.ReachesAsync(20, coordinator) : Task.CompletedTask);
        await ServiceProcess.SignalAsync("STOP", running[1..]);
        await coordinator.PrintsAsync("worker-0 is gone");
        var noticed = Stopwatch.GetElapsedTime(cut);
        network.Workers[0].Faults = LineFaults.None;
        var whole = Stopwatch.GetTimestamp();
        await coordinator.PrintsAsync("worker-0 joined", 2);
        var returned = Stopwatch.GetElapsedTime(whole);
        await FaultCluster.LetGoAsync(running);

        await EndsAsync(cluster, coordinator, running);
        Assert.InRange(returned, TimeSpan.Zero, MostRecovery);
        var meanwhile = cluster.History().Entries.Select(entry => entry.Record).OfType<GroupDone>()
            .Where(done => done.Group.Kind == GroupKind.Train && done.Group.Step >= parted + 2 && done.Group.Step < 18).Select(done => done.Worker);
        Assert.True(workers == 1 || !meanwhile.Contains("worker-0"), "It was not cut off.");
        TableRow.Held(
            string.Create(CultureInfo.InvariantCulture, $"a worker's {(lost == "both" ? "answers and reports" : lost)} are lost until it is given up, {workers} workers"),
            string.Create(CultureInfo.InvariantCulture, $"noticed after {noticed.TotalSeconds:0.0} s, back {returned.TotalSeconds:0.0} s after the network; same SHA-256"));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(20)]
    public async Task Coordinator_parted_from_everyone(int seconds)
    {
        const int Workers = 3;
        using var network = PacketNetwork.Create(Workers, Seed);
        await using var cluster = new FaultCluster(network);
        var (coordinator, running) = cluster.Start(Workers);
        await coordinator.PrintsAsync("Step 2/");
        network.Coordinator.Faults = LineFaults.Cut;
        await Task.Delay(TimeSpan.FromSeconds(seconds), TestContext.Current.CancellationToken);
        var stood = cluster.History().Run().Steps.Count;
        network.Coordinator.Faults = LineFaults.None;
        var whole = Stopwatch.GetTimestamp();
        await cluster.ReachesAsync(stood + 1, coordinator);
        var recovered = Stopwatch.GetElapsedTime(whole);

        await EndsAsync(cluster, coordinator, running);
        Assert.InRange(stood, 2, FaultCluster.Steps - 1);
        Assert.InRange(recovered, TimeSpan.Zero, MostRecovery);
        TableRow.Held(
            string.Create(CultureInfo.InvariantCulture, $"coordinator cut off from {Workers} workers for {seconds} s"),
            string.Create(CultureInfo.InvariantCulture, $"the next step {recovered.TotalSeconds:0.0} s after the network is back; same SHA-256"));
    }

    // A run over lines that are all bad in the same way, in which nobody is taken for lost.
    private static async Task HoldsAsync(int workers, string inject, LineFaults faults, Func<PacketLine, long>? happened = null)
    {
        using var network = PacketNetwork.Create(workers, Seed);
        await using var cluster = new FaultCluster(network);
        var (coordinator, running) = cluster.Start(workers);
        foreach (var worker in network.Workers)
        {
            worker.Faults = faults;
        }

        await coordinator.PrintsAsync("Step 1/");
        var started = Stopwatch.GetTimestamp();
        await EndsAsync(cluster, coordinator, running);
        var taken = Stopwatch.GetElapsedTime(started);
        Assert.DoesNotContain("no progress for", coordinator.Output, StringComparison.Ordinal);
        Assert.True(happened is null || network.Lines.Sum(happened) > 0, network.Toll);
        TableRow.Held(
            string.Create(CultureInfo.InvariantCulture, $"{inject}, {workers} workers"),
            string.Create(CultureInfo.InvariantCulture, $"{taken.TotalSeconds:0.0} s; {network.Toll}; no lease lost, everybody ends well; same SHA-256"));
    }

    private static async Task EndsAsync(FaultCluster cluster, ServiceProcess coordinator, IEnumerable<ServiceProcess> running)
    {
        await cluster.EndsWithTheSameAdapterAsync(coordinator);
        WorkerRows.AssertEveryGroupCountsOnce(cluster);
        foreach (var worker in running)
        {
            Assert.True(await worker.ExitCodeAsync() == 0, worker.Output);
        }
    }
}
