using System.Threading.Channels;
using DistTune.Coordinator;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Tests;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTune.Cluster.Tests;

/// <summary>Clients that do not read, and those that stop sending: they pin memory no longer than a lease lives.</summary>
public sealed class SlowClientTests
{
    private static readonly EngineOptions Options = new() { LeaseDuration = TimeSpan.FromSeconds(1) };
    private static readonly Metadata Joined = new() { { "authorization", $"Bearer {LocalCluster.Token}" } };

    [Fact]
    public async Task Who_reads_nothing_of_an_adapter_loses_the_call_after_a_lease()
    {
        var plan = FakePlan.Create(source: new FakePlan(1, 0, 0)) with { Layout = ParameterLayout.Create([new ParameterEntry("w", [8, 1 << 20], 0, 0)]) };
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, plan);
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        var client = new Training.TrainingClient(channel);
        var request = new GetAdapterRequest { SessionId = await ByHand.JoinAsync(client, ByHand.Registration(), Joined), RunId = "run", AdapterSha256 = cluster.Registry.Runs[0].Adapter.Sha256 };
        using var call = client.GetAdapter(request, Joined);
        await call.ResponseHeadersAsync;

        await Task.Delay(3 * Options.LeaseDuration, TestContext.Current.CancellationToken);

        long received = 0;
        await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (await call.ResponseStream.MoveNext(TestContext.Current.CancellationToken))
            {
                received += call.ResponseStream.Current.Data.Length;
            }
        });
        Assert.InRange(received, 0, plan.Layout.Length);
    }

    [Fact]
    public async Task A_push_that_sends_nothing_any_more_ends_with_its_lease()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(source: new FakePlan(1, 0, 0)));
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        var client = new Training.TrainingClient(channel);
        var session = await ByHand.JoinAsync(client, ByHand.Registration(), Joined);
        var grant = (await client.PullAsync(new PullRequest { SessionId = session, Slots = 1, WaitMilliseconds = 5000 }, Joined)).Grants[0];
        using var silent = client.Push(Joined);
        using var begun = client.Push(Joined);
        await begun.RequestStream.WriteAsync(new PushPart { Header = new PushHeader { SessionId = session, Reference = grant.Reference } });

        Assert.Equal(StatusCode.Aborted, (await Assert.ThrowsAsync<RpcException>(async () => await silent.ResponseAsync)).StatusCode);
        Assert.Equal(StatusCode.Aborted, (await Assert.ThrowsAsync<RpcException>(async () => await begun.ResponseAsync)).StatusCode);
    }

    [Fact]
    public async Task Commands_that_nobody_reads_end_the_session_instead_of_piling_up()
    {
        var links = new SessionLinks();
        var commands = links.Open("session");
        for (var i = 0; i < 5000; i++)
        {
            links.Send("session", new SessionCommand { Drain = new DrainCommand() });
        }

        var waiting = 0;
        await Assert.ThrowsAsync<ChannelClosedException>(async () =>
        {
            while (true)
            {
                await commands.ReadAsync(TestContext.Current.CancellationToken);
                waiting++;
            }
        });
        Assert.Equal(1024, waiting);
    }
}
