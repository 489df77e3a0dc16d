using DistTune.Coordinator;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Tests;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Grant = DistTune.Protocol.V1.Grant;
using GroupReference = DistTune.Protocol.V1.GroupReference;

namespace DistTune.Cluster.Tests;

public sealed class WireTests
{
    private static readonly EngineOptions Options = new() { LeaseDuration = TimeSpan.FromSeconds(30), SessionOpensWithin = TimeSpan.FromMinutes(2) };
    private static readonly Metadata Joined = new() { { "authorization", $"Bearer {LocalCluster.Token}" } };

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("Bearer ")]
    [InlineData("Bearer join-token-of-the-tesT")]
    [InlineData("Basic join-token-of-the-test")]
    public async Task A_call_without_the_token_is_refused_and_changes_nothing(string? header)
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create());
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        var client = new Training.TrainingClient(channel);
        var headers = new Metadata();
        if (header is not null)
        {
            headers.Add("authorization", header);
        }

        using var session = client.Session(headers);
        using var push = client.Push(headers);
        RpcException[] answers =
        [
            await Assert.ThrowsAsync<RpcException>(async () => await client.GetRunsAsync(new GetRunsRequest(), headers)),
            await Assert.ThrowsAsync<RpcException>(async () => await client.RegisterAsync(ByHand.Registration(), headers)),
            await Assert.ThrowsAsync<RpcException>(async () => await client.PullAsync(new PullRequest(), headers)),
            await Assert.ThrowsAsync<RpcException>(async () => await session.ResponseStream.MoveNext(TestContext.Current.CancellationToken)),
            await Assert.ThrowsAsync<RpcException>(async () => await push.ResponseAsync),
        ];

        Assert.All(answers, answer => Assert.Equal(StatusCode.Unauthenticated, answer.StatusCode));
        Assert.All(answers, answer => Assert.DoesNotContain(LocalCluster.Token, answer.Status.Detail, StringComparison.Ordinal));
        Assert.Empty(cluster.Registry.Workers);
    }

    [Fact]
    public async Task The_administration_is_closed_to_workers_and_open_to_its_own_token()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create());
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        var admin = new Admin.AdminClient(channel);

        var worker = await Assert.ThrowsAsync<RpcException>(async () => await admin.GetStatusAsync(new GetStatusRequest(), Joined));
        var nobody = await Assert.ThrowsAsync<RpcException>(async () => await admin.GetStatusAsync(new GetStatusRequest()));
        var headers = new Metadata { { "authorization", $"Bearer {LocalCluster.AdminToken}" } };
        var status = await admin.GetStatusAsync(new GetStatusRequest(), headers);
        await admin.StopRunAsync(new StopRunRequest { RunId = "run", Reason = "enough" }, headers);
        await cluster.CoordinatorEndsAsync();

        Assert.Equal(StatusCode.PermissionDenied, worker.StatusCode);
        Assert.Equal(StatusCode.Unauthenticated, nobody.StatusCode);
        Assert.Equal("registering", Assert.Single(status.Runs).State);
        Assert.Equal(1, cluster.CoordinatorExitCode);
    }

    [Fact]
    public async Task A_flipped_bit_is_refused_and_the_group_is_given_out_again()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(source: new FakePlan(1, 0, 0)));
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        var client = new Training.TrainingClient(channel);
        var (session, grant) = await PullAsync(client);

        var ack = await PushAsync(client, session, grant, cluster.Registry.Runs[0], chunk =>
        {
            var bytes = chunk.Data.ToByteArray();
            bytes[7] ^= 4;
            chunk.Data = ByteString.CopyFrom(bytes);
        });

        Assert.Equal(PushStatus.Invalid, ack.Status);
        Assert.Contains("CRC-32C", ack.Reason, StringComparison.Ordinal);
        var again = (await client.PullAsync(new PullRequest { SessionId = session, Slots = 1, WaitMilliseconds = 5000 }, Joined)).Grants[0];
        Assert.Equal(2, again.Reference.Attempt);
        Assert.Equal(PushStatus.Accepted, (await PushAsync(client, session, again, cluster.Registry.Runs[0], _ => { })).Status);
    }

    [Fact]
    public async Task A_half_sent_result_is_never_visible()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(source: new FakePlan(1, 0, 0)));
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        var client = new Training.TrainingClient(channel);
        var (session, grant) = await PullAsync(client);
        var run = cluster.Registry.Runs[0];

        using (var half = client.Push(Joined))
        {
            await half.RequestStream.WriteAsync(new PushPart { Header = new PushHeader { SessionId = session, Reference = grant.Reference } });
            await half.RequestStream.WriteAsync(new PushPart { Chunk = VectorChunks.Cut(new float[64], 0, 64).Single() });
        }

        using (var ended = client.Push(Joined))
        {
            await ended.RequestStream.WriteAsync(new PushPart { Header = new PushHeader { SessionId = session, Reference = grant.Reference } });
            await ended.RequestStream.CompleteAsync();
            var answer = await Assert.ThrowsAsync<RpcException>(async () => await ended.ResponseAsync);
            Assert.Equal(StatusCode.InvalidArgument, answer.StatusCode);
        }

        Assert.Empty(run.Run.Stage!.Done);
        Assert.Equal(PushStatus.Accepted, (await PushAsync(client, session, grant, run, _ => { })).Status);
    }

    [Fact]
    public async Task A_result_of_another_term_or_step_is_stale()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(source: new FakePlan(1, 0, 0)));
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        var client = new Training.TrainingClient(channel);
        var (session, grant) = await PullAsync(client);
        var run = cluster.Registry.Runs[0];
        Action<GroupReference>[] changes = [reference => reference.Term--, reference => reference.Step++, reference => reference.AdapterSha256 = "other"];

        foreach (var change in changes)
        {
            var other = grant.Clone();
            change(other.Reference);
            Assert.Equal(PushStatus.Stale, (await PushAsync(client, session, other, run, _ => { })).Status);
        }

        Assert.Empty(run.Run.Stage!.Done);
    }

    [Fact]
    public async Task An_adapter_comes_in_chunks_from_any_offset()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create());
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        var client = new Training.TrainingClient(channel);
        var session = (await client.RegisterAsync(ByHand.Registration(), Joined)).SessionId;
        var adapter = cluster.Registry.Runs[0].Adapter;

        using var call = client.GetAdapter(new GetAdapterRequest { SessionId = session, RunId = "run", AdapterSha256 = adapter.Sha256, Offset = 100 }, Joined);
        var received = new List<float>();
        while (await call.ResponseStream.MoveNext(TestContext.Current.CancellationToken))
        {
            Assert.Equal(100 + received.Count, call.ResponseStream.Current.Offset);
            received.AddRange(VectorChunks.Open(call.ResponseStream.Current));
        }

        Assert.Equal(adapter.Values[100..].ToArray(), received);
    }

    [Fact]
    public void A_vector_is_cut_into_chunks_of_256_KiB_and_comes_back()
    {
        var vector = Enumerable.Range(0, (2 * VectorChunks.FloatsPerChunk) + 7).Select(i => i * 0.5f).ToArray();

        var chunks = VectorChunks.Cut(vector, 3, vector.Length - 3).ToList();

        Assert.Equal([256 * 1024, 256 * 1024, 16], chunks.Select(chunk => chunk.Data.Length));
        Assert.Equal(vector[3..], chunks.SelectMany(chunk => VectorChunks.Open(Chunk.Parser.ParseFrom(chunk.ToByteArray())).ToArray()));
    }

    [Fact]
    public void The_checksum_is_that_of_the_standard()
    {
        Assert.Equal(0xE3069283u, Crc32C.Compute("123456789"u8));
        Assert.Equal(0x8A9136AAu, Crc32C.Compute(new byte[32]));
    }

    [Fact]
    public async Task The_coordinator_does_not_start_without_a_token()
    {
        var fault = await Assert.ThrowsAsync<DistTuneException>(
            () => CoordinatorSetupLoader.LoadAsync(["run.yaml"], _ => null, new CoordinatorEndpoints([]), TimeProvider.System, TestContext.Current.CancellationToken));

        Assert.Equal(FaultKind.Configuration, fault.Kind);
        Assert.Contains("DISTTUNE_TOKEN", fault.Message, StringComparison.Ordinal);
    }

    private static async Task<(string Session, Grant Grant)> PullAsync(Training.TrainingClient client)
    {
        var session = await ByHand.JoinAsync(client, ByHand.Registration(), Joined);
        var answer = await client.PullAsync(new PullRequest { SessionId = session, Slots = 1, WaitMilliseconds = 5000 }, Joined);
        return (session, Assert.Single(answer.Grants));
    }

    private static async Task<PushAck> PushAsync(Training.TrainingClient client, string session, Grant grant, RunExecution run, Action<Chunk> change)
    {
        var vector = new float[run.Plan.Layout.Length];
        var outcome = FakeComputer.Compute(TrainingMapping.ToGroup(grant), run.Adapter, run.Plan.Layout, (offset, part) => part.CopyTo(vector, offset));
        using var push = client.Push(Joined);
        try
        {
            await push.RequestStream.WriteAsync(new PushPart { Header = new PushHeader { SessionId = session, Reference = grant.Reference } });
            foreach (var chunk in VectorChunks.Cut(vector, 0, vector.Length))
            {
                change(chunk);
                await push.RequestStream.WriteAsync(new PushPart { Chunk = chunk });
            }

            await push.RequestStream.WriteAsync(new PushPart { Trailer = TrainingMapping.ToTrailer(outcome, GradientHash.Of(vector)) });
            await push.RequestStream.CompleteAsync();
        }
        catch (Exception fault) when (fault is RpcException or InvalidOperationException)
        {
            // Answered before everything was sent.
        }

        return await push.ResponseAsync;
    }
}
