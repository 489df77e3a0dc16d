using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using DistTune.Cluster.Tests.Memory;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Rows of the fault table about many clients: what a coordinator of its own holds does not grow with them.</summary>
[Collection(FaultSuite.Name)]
[Trait("Tier", "All")]
public sealed class CrowdRows
{
    private const string Token = "token-of-the-process-tests";

    // What a coordinator holds before anyone sends: runtime, libraries, and a small run's plan.
    private const long AtRest = 160L << 20;
    private static readonly TimeSpan RefusedWithin = TimeSpan.FromMinutes(1);
    private static readonly Metadata Joined = new() { { "authorization", $"Bearer {Token}" } };

    [Fact]
    public async Task Two_hundred_workers_that_send_at_a_time()
    {
        const int Workers = 200;
        using var run = new SmallRun("adapter: lora\nlora_r: 512\nlora_alpha: 8");
        WriteRows(run, Workers + 8);
        var port = LocalCluster.FreePort();
        await using var coordinator = Start(run, port, "micro_batch_size=1", FormattableString.Invariant($"gradient_accumulation_steps={Workers}"), "max_steps=1", "eval_samples=0");
        var peak = coordinator.PeakAsync(TestContext.Current.CancellationToken);
        var facts = await FactsAsync(port);
        var vector = facts.LayoutLength * sizeof(float);

        var gradient = Enumerable.Range(0, (int)facts.LayoutLength).Select(index => MathF.Sin(index) * 1e-3f).ToArray();
        var sha256 = GradientHash.Of(gradient);
        using var half = new CountdownEvent(Workers);
        var allHalf = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await Task.WhenAll(Enumerable.Range(0, Workers).Select(rank => SendAsync(port, facts, rank, gradient, sha256, () =>
        {
            if (half.Signal())
            {
                allHalf.SetResult();
            }

            return allHalf.Task;
        })));

        // Sixteen gradients, one a level of the tree, the sum, its mean, two moments and the versions of the adapter; and of each connection
        // what the transport takes in before it is read, and the message that is being read.
        const long OfConnection = (1024 + 256) << 10;
        var most = AtRest + ((16 + 8 + 2 + 2 + 8) * vector) + (Workers * OfConnection);
        var held = await peak;
        Assert.True(held < most, FormattableString.Invariant($"{held >> 20} MiB were held, {most >> 20} MiB may be: {coordinator.Output}"));
        Assert.True(most < Workers * vector, "The bound shows nothing.");
        TableRow.Held(
            FormattableString.Invariant($"{Workers} workers' streams at a time, {vector >> 20} MiB each, all of them half sent at once"),
            FormattableString.Invariant($"{held >> 20} MiB at the peak, within the {most >> 20} MiB that were computed before; the step was taken"));
    }

    [Fact]
    public async Task Ten_thousand_streams()
    {
        const int Connections = 100;
        const int StreamsOfEach = 100;
        using var run = new SmallRun();
        var port = LocalCluster.FreePort();
        await using var coordinator = Start(run, port);
        var peak = coordinator.PeakAsync(TestContext.Current.CancellationToken);
        await FactsAsync(port);
        var channels = Enumerable.Range(0, Connections).Select(_ => OneConnection(port)).ToList();
        var calls = channels.SelectMany(channel => Enumerable.Range(0, StreamsOfEach).Select(_ => new Training.TrainingClient(channel).Push(Joined))).ToList();
        const int Most = (Connections * Coordinator.CallLimits.CallsOfEach) + Coordinator.CallLimits.CallsOfAll;
        var refused = 0;
        var others = new ConcurrentQueue<Status>();
        var allRefused = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var waiting = calls.ConvertAll(async call =>
        {
            var answer = await Assert.ThrowsAsync<RpcException>(async () => await call.ResponseAsync);
            if (answer.StatusCode != StatusCode.ResourceExhausted)
            {
                others.Enqueue(answer.Status);
            }
            else if (Interlocked.Increment(ref refused) == (Connections * StreamsOfEach) - Most)
            {
                allRefused.SetResult();
            }
        });
        await Task.WhenAny(allRefused.Task, Task.Delay(RefusedWithin, TestContext.Current.CancellationToken));
        Assert.True(allRefused.Task.IsCompleted && others.IsEmpty, FormattableString.Invariant(
            $"{refused} of {calls.Count} calls were refused, {Most} may be open; others: {string.Join("; ", others.Distinct())}. {coordinator.Output}"));

        // All that may be open are, and somebody comes who works.
        await using var worker = ProcessTests.StartWorker(port, 0, 1, run.CacheFolder);
        var held = await peak;
        Assert.Equal(0, await worker.ExitCodeAsync());
        Assert.Equal(await SmallRun.ExpectedAdapterAsync(), run.SummarisedAdapter());
        const long MostBytes = AtRest + (Most * (64L << 10));
        Assert.True(held < MostBytes, FormattableString.Invariant($"{held >> 20} MiB were held, {MostBytes >> 20} MiB may be."));
        calls.ForEach(call => call.Dispose());
        await Task.WhenAll(waiting);
        channels.ForEach(channel => channel.Dispose());
        TableRow.Held(
            FormattableString.Invariant($"{calls.Count} streams over {Connections} connections"),
            FormattableString.Invariant($"{calls.Count - Most} or more refused as RESOURCE_EXHAUSTED, {held >> 20} MiB at the peak; a worker that came then trained to the same SHA-256"));
    }

    private static MeasuredProcess Start(SmallRun run, int port, params string[] settings) => new(
        "DistTune.Coordinator",
        [run.ConfigPath, .. settings.SelectMany(setting => (string[])["--set", setting])],
        new Dictionary<string, string>
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_HTTP_PORT"] = "0",
            ["DISTTUNE_GRPC_PORT"] = port.ToString(CultureInfo.InvariantCulture),
        });

    // A client opens further connections by itself when it wants more streams than one may have; each would bring a share of its own.
    private static GrpcChannel OneConnection(int port) => GrpcChannel.ForAddress(
        Address(port), new GrpcChannelOptions { HttpHandler = new SocketsHttpHandler { EnableMultipleHttp2Connections = false }, DisposeHttpClient = true });

    private static string Address(int port) => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}");

    private static async Task<RunFacts> FactsAsync(int port)
    {
        using var channel = GrpcChannel.ForAddress(Address(port));
        var client = new Training.TrainingClient(channel);
        while (true)
        {
            try
            {
                return (await client.GetRunsAsync(new GetRunsRequest(), Joined)).Runs[0];
            }
            catch (RpcException away) when (away.StatusCode == StatusCode.Unavailable)
            {
                await Task.Delay(50, TestContext.Current.CancellationToken);
            }
        }
    }

    // Takes part as a worker does, over a connection of its own; every training group comes to the same gradient.
    private static async Task SendAsync(int port, RunFacts facts, int rank, float[] gradient, string sha256, Func<Task> atHalf)
    {
        using var channel = GrpcChannel.ForAddress(Address(port));
        var client = new Training.TrainingClient(channel);
        var fingerprint = WorkerFingerprint.Of("raw 1", facts.BaseSha256);
        var registration = new RegisterRequest
        {
            Worker = string.Create(CultureInfo.InvariantCulture, $"raw-{rank}"),
            Rank = rank,
            Slots = 1,
            Fingerprint = TrainingMapping.ToMessage(fingerprint with { Canaries = fingerprint.Canaries.Add(facts.RunId, "what all of them come to") }),
        };
        var session = await ByHand.JoinAsync(client, registration, Joined);
        var request = new PullRequest { SessionId = session, Slots = 1, WaitMilliseconds = 1000 };
        for (var trained = false; ;)
        {
            PullResponse answer;
            try
            {
                answer = await client.PullAsync(request, Joined);
            }
            catch (RpcException gone) when (trained && gone.StatusCode is StatusCode.Unavailable or StatusCode.Aborted)
            {
                return;
            }

            foreach (var grant in answer.Grants)
            {
                var trains = grant.Reference.Kind == Protocol.V1.GroupKind.Train;
                using var push = client.Push(Joined);
                await push.RequestStream.WriteAsync(new PushPart { Header = new PushHeader { SessionId = session, Reference = grant.Reference } });
                var chunks = trains ? VectorChunks.Cut(gradient, 0, gradient.Length).Reverse().ToList() : [];
                for (var i = 0; i < chunks.Count; i++)
                {
                    if (i == chunks.Count / 2)
                    {
                        await atHalf();
                    }

                    await push.RequestStream.WriteAsync(new PushPart { Chunk = chunks[i] });
                }

                var group = TrainingMapping.ToGroup(grant);
                var outcome = new GroupOutcome(group.TrainedTokens, group.TrainedTokens, group.TotalTokens, [], default);
                await push.RequestStream.WriteAsync(new PushPart { Trailer = TrainingMapping.ToTrailer(outcome, trains ? sha256 : string.Empty) });
                await push.RequestStream.CompleteAsync();
                Assert.Equal(PushStatus.Accepted, (await push.ResponseAsync).Status);
                trained |= trains;
            }

            if (answer.Drain)
            {
                await client.LeaveAsync(new LeaveRequest { SessionId = session, Reason = "done" }, Joined);
                return;
            }
        }
    }

    private static void WriteRows(SmallRun run, int count) => File.WriteAllLines(
        Path.Combine(Path.GetDirectoryName(run.ConfigPath)!, "rows.jsonl"),
        Enumerable.Range(0, count).Select(index => JsonSerializer.Serialize(new { instruction = string.Create(CultureInfo.InvariantCulture, $"the field {index}"), output = string.Create(CultureInfo.InvariantCulture, $"needs water {index}") })));
}
