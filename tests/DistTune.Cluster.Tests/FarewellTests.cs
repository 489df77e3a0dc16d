using System.Diagnostics;
using DistTune.Coordinator;
using DistTune.Engine;
using DistTune.Engine.Tests;
using DistTune.Protocol.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTune.Cluster.Tests;

/// <summary>How coordinator and workers part when a run has ended.</summary>
public sealed class FarewellTests
{
    [Fact]
    public async Task A_worker_that_never_leaves_holds_the_coordinator_up_for_seconds()
    {
        var plan = FakePlan.Create();
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(new EngineOptions(), plan);
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        await ByHand.JoinAsync(new Training.TrainingClient(channel), ByHand.Registration(), new Metadata { { "authorization", $"Bearer {LocalCluster.Token}" } });

        var ended = Stopwatch.GetTimestamp();
        cluster.Registry.Runs[0].Stop("it is over");
        await cluster.CoordinatorEndsAsync();

        Assert.Equal(CoordinatorExit.Failed, cluster.CoordinatorExitCode);
        Assert.InRange(Stopwatch.GetElapsedTime(ended), TimeSpan.FromSeconds(14), TimeSpan.FromSeconds(60));
    }
}
