using DistTune.Cluster.Tests.Faults;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Tests;

namespace DistTune.Cluster.Tests;

/// <summary>Adapter versions whose connection is lost on the way, over real gRPC.</summary>
public sealed class DownloadTests
{
    private static readonly EngineOptions Options = new() { LeaseDuration = TimeSpan.FromSeconds(60), BackupAfter = TimeSpan.FromSeconds(60) };

    [Fact]
    public async Task What_has_arrived_of_an_adapter_is_not_fetched_again_by_the_next_session()
    {
        const long Adapter = 16L << 20;
        var plan = FakePlan.Create(groups: 1, steps: 1, source: new FakePlan(1, 0, 0)) with
        {
            Layout = ParameterLayout.Create([new ParameterEntry("t", [1024, (int)(Adapter / sizeof(float) / 1024)], 0, 0)]),
        };
        var alone = await InProcessTraining.RunAsync(
            plan, FakePlan.Initial(plan), [new FakeComputer(plan.Layout)], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken);
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, plan);
        await using var network = new FaultyNetwork(cluster.GrpcPort) { BytesPerSecond = 8 << 20 };
        var worker = await cluster.StartWorkerAsync(port: network.Port, computers: new FakeComputerSource(1) { Layout = plan.Layout });

        while (network.AnsweredBytes < Adapter / 2)
        {
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }

        network.CutAll();
        await cluster.CoordinatorEndsAsync();
        await LocalCluster.EndsAsync(worker);

        Assert.Equal(0, cluster.CoordinatorExitCode);
        Assert.Equal(alone.Adapter.Sha256, cluster.Registry.Runs[0].Adapter.Sha256);

        // What was under way when the connection was cut comes again: HTTP/2's window, and what lay in the network. A second time from the start would be half as much again.
        Assert.InRange(network.AnsweredBytes, Adapter, Adapter + (Adapter / 4));
    }
}
