using DistTune.Cluster.Tests.Faults;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Storage;
using DistTune.Engine.Tests;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using DistTune.Worker;
using Grpc.Core;
using Grpc.Net.Client;
using GroupKind = DistTune.Core.Training.GroupKind;
using UploadState = DistTune.Protocol.V1.UploadState;

namespace DistTune.Cluster.Tests;

/// <summary>Uploads whose connection is lost on the way, over real gRPC, in a run that is kept on disk.</summary>
public sealed class UploadTests : IDisposable
{
    private static readonly EngineOptions Options = new() { LeaseDuration = TimeSpan.FromSeconds(60), BackupAfter = TimeSpan.FromSeconds(60) };
    private static readonly Metadata Joined = new() { { "authorization", $"Bearer {LocalCluster.Token}" } };
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(30);
    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-uploads-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task What_has_arrived_of_a_result_is_not_sent_again_and_its_group_is_not_computed_twice()
    {
        const long Sent = 16L << 20;
        var plan = Plan(Enumerable.Range(0, 16).Select(i => new ParameterEntry($"t{i:00}", [256, 1024], 0, 0)));
        var alone = await InProcessTraining.RunAsync(
            plan, FakePlan.Initial(plan), [new FakeComputer(plan.Layout)], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken);
        using var store = RunStore.Open(new FolderStorage(_folder), plan, FakePlan.Initial(plan), new RunStoreOptions(), TimeProvider.System);
        await using var cluster = Kept(store);
        await cluster.StartCoordinatorAsync(Options, plan);
        await using var network = new FaultyNetwork(cluster.GrpcPort) { BytesPerSecond = 8 << 20 };
        var computed = 0;
        var computers = new FakeComputerSource(1)
        {
            Layout = plan.Layout,
            Before = (group, _) =>
            {
                Interlocked.Add(ref computed, group.Kind == GroupKind.Train && group.Step == 0 ? 1 : 0);
                return Task.CompletedTask;
            },
        };
        var worker = await cluster.StartWorkerAsync(port: network.Port, computers: computers);

        while (network.SentBytes < Sent / 2)
        {
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }

        network.CutAll();
        await cluster.CoordinatorEndsAsync();
        await LocalCluster.EndsAsync(worker);

        Assert.Equal(0, cluster.CoordinatorExitCode);
        Assert.Equal(alone.Adapter.Sha256, cluster.Registry.Runs[0].Adapter.Sha256);
        Assert.Equal(1, computed);

        // What was under way when the connection was cut is lost: HTTP/2's window, and what lay in the network. A second time from the start would be half as much again.
        Assert.InRange(network.SentBytes, Sent, Sent + (Sent / 4));
    }

    [Fact]
    public async Task A_result_that_is_refused_before_all_of_it_was_sent_holds_up_nobody()
    {
        var vector = new float[4 << 20];
        var plan = Plan([new ParameterEntry("t", [1024, vector.Length / 1024], 0, 0)]);
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, plan);

        // Whether a write is left waiting is a matter of chance.
        for (var i = 0; i < 10; i++)
        {
            using var client = new CoordinatorClient(new WorkerOptions(cluster.Address, LocalCluster.Token, "by-hand", 0, 1, null), TimeProvider.System);
            var session = (await client.RegisterAsync(ByHand.Registration(), TestContext.Current.CancellationToken)).SessionId;
            var grant = new Protocol.V1.Grant { Reference = new GroupReference { RunId = plan.RunId, Term = -1, Kind = Protocol.V1.GroupKind.Train } };
            await using var result = new GroupResult(grant, vector, () => { }, ComputeAsync, TestContext.Current.CancellationToken);

            var ack = await new GradientPush(client, result, session, rank: 0).SendAsync(null, TestContext.Current.CancellationToken).WaitAsync(Soon, TestContext.Current.CancellationToken);

            Assert.Equal(PushStatus.Stale, ack.Status);
        }

        Task<GroupOutcome> ComputeAsync(IGradientSink sink, CancellationToken cancellationToken)
        {
            sink.Write(0, vector);
            return Task.FromResult(new GroupOutcome(0, 1, 1, [], new GroupTimings(0, 0, 0)));
        }
    }

    [Fact]
    public async Task A_half_that_was_damaged_on_its_way_is_refused_with_the_whole()
    {
        var plan = Plan([new ParameterEntry("w", [8, VectorChunks.FloatsPerChunk], 0, 0)]);
        using var store = RunStore.Open(new FolderStorage(_folder), plan, FakePlan.Initial(plan), new RunStoreOptions(), TimeProvider.System);
        await using var cluster = Kept(store);
        await cluster.StartCoordinatorAsync(Options, plan);
        using var channel = GrpcChannel.ForAddress(cluster.Address);
        var client = new Training.TrainingClient(channel);
        var session = await ByHand.JoinAsync(client, ByHand.Registration(), Joined);
        var grant = (await client.PullAsync(new PullRequest { SessionId = session, Slots = 1, WaitMilliseconds = 5000 }, Joined)).Grants[0];
        var vector = new float[plan.Layout.Length];
        var outcome = FakeComputer.Compute(TrainingMapping.ToGroup(grant), FakePlan.Initial(plan), plan.Layout, (offset, part) => part.CopyTo(vector, offset));
        await SendHalfAsync(client, session, grant.Reference, vector);

        var again = await ByHand.JoinAsync(client, ByHand.Registration(), Joined);
        var answer = await client.QueryUploadAsync(new QueryUploadRequest { SessionId = again, Reference = grant.Reference }, Joined);
        Assert.Equal(UploadState.Partial, answer.State);
        var received = Assert.Single(answer.Received);
        Assert.Equal(vector.Length, received.End);
        Assert.InRange(received.Start, 1, vector.Length - 1);

        vector[3] = BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(vector[3]) ^ 1);
        var header = new PushHeader { SessionId = again, Reference = answer.Reference, Resumes = true };
        var refused = await PushAsync(client, header, vector, received.Start, outcome, Healed(vector));
        vector = Healed(vector);
        Assert.Equal(PushStatus.Invalid, refused.Status);
        Assert.Contains("SHA-256", refused.Reason, StringComparison.Ordinal);
        Assert.Empty(cluster.Registry.Runs[0].Run.Stage!.Done);

        // Nothing of the damaged one is left, and what resumes nothing is told so.
        Assert.Equal(PushStatus.Unknown, (await PushAsync(client, header, vector, received.Start, outcome, vector)).Status);
        answer = await client.QueryUploadAsync(new QueryUploadRequest { SessionId = again, Reference = grant.Reference }, Joined);
        Assert.Equal(UploadState.Unknown, answer.State);
        header = new PushHeader { SessionId = again, Reference = answer.Reference };
        Assert.Equal(PushStatus.Accepted, (await PushAsync(client, header, vector, vector.Length, outcome, vector)).Status);
        answer = await client.QueryUploadAsync(new QueryUploadRequest { SessionId = again, Reference = grant.Reference }, Joined);
        Assert.Contains(answer.State, (UploadState[])[UploadState.Done, UploadState.Stale]);
        foreach (var id in (string[])[session, again])
        {
            await client.LeaveAsync(new LeaveRequest { SessionId = id, Reason = "done" }, Joined);
        }

        await cluster.CoordinatorEndsAsync();

        static float[] Healed(float[] damaged)
        {
            var healed = (float[])damaged.Clone();
            healed[3] = BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(healed[3]) ^ 1);
            return healed;
        }
    }

    private static RunPlan Plan(IEnumerable<ParameterEntry> entries) =>
        FakePlan.Create(groups: 1, steps: 1, source: new FakePlan(1, 0, 0)) with { Layout = ParameterLayout.Create([.. entries]) };

    private static LocalCluster Kept(RunStore store) => new()
    {
        Configure = setup => setup with { Runs = [.. setup.Runs.Select(run => run with { Store = store })] },
    };

    // Last to first, as a backward pass does; cut when some of it lies in the spool.
    private async Task SendHalfAsync(Training.TrainingClient client, string session, Protocol.V1.GroupReference reference, float[] vector)
    {
        using var half = client.Push(Joined);
        await half.RequestStream.WriteAsync(new PushPart { Header = new PushHeader { SessionId = session, Reference = reference } });
        foreach (var chunk in VectorChunks.Cut(vector, vector.Length / 2, vector.Length / 2).Reverse())
        {
            await half.RequestStream.WriteAsync(new PushPart { Chunk = chunk });
        }

        var spool = new FileInfo(Path.Combine(_folder, "spool", "term-000001"));
        while (spool.Length < vector.Length * sizeof(float))
        {
            await Task.Delay(5, TestContext.Current.CancellationToken);
            spool.Refresh();
        }
    }

    private static async Task<PushAck> PushAsync(Training.TrainingClient client, PushHeader header, float[] vector, long floats, GroupOutcome outcome, float[] meant)
    {
        using var push = client.Push(Joined);
        try
        {
            await push.RequestStream.WriteAsync(new PushPart { Header = header });
            foreach (var chunk in VectorChunks.Cut(vector, 0, floats))
            {
                await push.RequestStream.WriteAsync(new PushPart { Chunk = chunk });
            }

            await push.RequestStream.WriteAsync(new PushPart { Trailer = TrainingMapping.ToTrailer(outcome, GradientHash.Of(meant)) });
            await push.RequestStream.CompleteAsync();
        }
        catch (Exception fault) when (fault is RpcException or InvalidOperationException)
        {
            // Answered before everything was sent.
        }

        return await push.ResponseAsync;
    }
}
