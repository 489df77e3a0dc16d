using System.Collections.Concurrent;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using DistTune.Worker;
using Grpc.Core;
using Grant = DistTune.Protocol.V1.Grant;
using GroupKind = DistTune.Core.Training.GroupKind;
using GroupReference = DistTune.Protocol.V1.GroupReference;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>
/// A worker of the tests' own beside the real ones: it speaks the protocol as they do and computes true results, and then sends what
/// the row asks for, when the row asks for it.
/// </summary>
internal sealed class OddWorker : IAsyncDisposable
{
    private static readonly TimeSpan ReportInterval = TimeSpan.FromMilliseconds(300);
    private readonly CancellationTokenSource _ended = new();
    private readonly ConcurrentDictionary<GroupReference, bool> _kept = new();
    private readonly CoordinatorClient _client;
    private readonly TorchComputerSource _computers;
    private readonly RegisterRequest _registration;
    private readonly AdapterStore _adapters;
    private readonly RunFacts _run;
    private readonly AsyncDuplexStreamingCall<SessionReport, SessionCommand> _session;
    private string _sessionId;
    private readonly int _slots;
    private readonly Task _reporting;

    // Where the tensors stand in the vector: the same for every group.
    private List<(int Offset, int Length)> _written = [];
    private bool _left;

    private OddWorker(CoordinatorClient client, TorchComputerSource computers, RunFacts run, RegisterRequest registration, string sessionId)
    {
        (_client, _computers, _run, _registration, _sessionId, _slots) = (client, computers, run, registration, sessionId, registration.Slots);
        _adapters = new AdapterStore(client);
        _session = client.OpenSession(_ended.Token);
        _reporting = ReportAsync();
    }

    /// <summary>Joins a coordinator that may still be starting.</summary>
    /// <param name="port">The coordinator's.</param>
    /// <param name="name">The worker's name.</param>
    /// <param name="slots">How many groups it takes at a time.</param>
    /// <param name="computes">Changes what the canary is seen to come to.</param>
    public static async Task<OddWorker> JoinAsync(int port, string name, int slots, Func<string, string>? computes = null)
    {
        var options = LocalCluster.OptionsOf(port, 0, 1, ProcessTests.Token);
        var client = new CoordinatorClient(options, TimeProvider.System);
        var cancellationToken = TestContext.Current.CancellationToken;
        var run = (await AnswerAsync(() => client.GetRunsAsync(name, cancellationToken))).Runs[0];
        var computers = new TorchComputerSource(options);
        var baseSha256 = await computers.LoadBaseAsync(run, cancellationToken);
        var canary = await Canary.ComputeAsync(
            computers.ComputerFor(run), run.RunId, run.VocabularySize, Canary.Adapter(new float[run.LayoutLength]), new float[run.LayoutLength], cancellationToken);
        canary = computes?.Invoke(canary) ?? canary;
        var fingerprint = WorkerFingerprint.Of(computers.Library, baseSha256);
        var registration = new RegisterRequest
        {
            Worker = name,
            Slots = slots,
            Fingerprint = TrainingMapping.ToMessage(fingerprint with { Canaries = fingerprint.Canaries.Add(run.RunId, canary) }),
        };
        var registered = await client.RegisterAsync(registration, cancellationToken);
        return new OddWorker(client, computers, run, registration, registered.SessionId);
    }

    /// <summary>Takes part until it holds so many training groups of one step, which can't end without it.</summary>
    public async Task<List<Grant>> HoldAsync(int count)
    {
        var held = new List<Grant>();
        while (held.Count < count)
        {
            var answer = await _client.PullAsync(
                new PullRequest { SessionId = _sessionId, Slots = Math.Min(_slots, count - held.Count), WaitMilliseconds = 300 }, TestContext.Current.CancellationToken);
            Assert.False(answer.Drain, "The run was over before the odd worker held what it needs.");
            foreach (var grant in answer.Grants)
            {
                if (grant.Reference.Kind == Protocol.V1.GroupKind.Train)
                {
                    held.Add(grant);
                }
                else
                {
                    await PushTrueAsync(grant);
                }
            }

            if (answer.Grants.Count == 0 && held.Count > 0)
            {
                // The others have the rest of this step.
                foreach (var grant in held)
                {
                    await PushTrueAsync(grant);
                }

                held.Clear();
            }
        }

        return held;
    }

    /// <summary>Reports progress of a group from now on, so that its lease does not end.</summary>
    public void Keep(Grant grant) => _kept[grant.Reference] = true;

    /// <summary>What a group comes to.</summary>
    public async Task<(float[] Gradient, GroupOutcome Outcome)> ComputeAsync(Grant grant)
    {
        var cancellationToken = TestContext.Current.CancellationToken;
        using var adapter = await _adapters.RentAsync(_sessionId, _run, grant.Reference.AdapterSha256, cancellationToken);
        var sink = new VectorSink(grant.Reference.Kind == Protocol.V1.GroupKind.Train ? new float[_run.LayoutLength] : []);
        var outcome = await _computers.ComputerFor(_run).ComputeAsync(TrainingMapping.ToGroup(grant), adapter.Version, sink, cancellationToken);
        _written = sink.Written.Count > 0 ? sink.Written : _written;
        return (sink.Values, outcome);
    }

    /// <summary>Sends a result.</summary>
    /// <param name="grant">What it is for.</param>
    /// <param name="gradient">The gradient that is sent.</param>
    /// <param name="outcome">Sums and counts that are sent.</param>
    /// <param name="floats">How many floats of the gradient are sent; all by default.</param>
    /// <param name="change">Does something to every chunk.</param>
    /// <param name="sha256">The hash that is claimed; the true one by default.</param>
    public async Task<PushAck> PushAsync(Grant grant, float[] gradient, GroupOutcome outcome, int? floats = null, Action<Chunk>? change = null, string? sha256 = null)
    {
        using var push = _client.OpenPush(TestContext.Current.CancellationToken);
        try
        {
            await push.RequestStream.WriteAsync(new PushPart { Header = new PushHeader { SessionId = _sessionId, Reference = grant.Reference } });
            var parts = gradient.Length == 0 ? [] : _written;
            foreach (var chunk in parts.Where(part => part.Offset < (floats ?? gradient.Length)).SelectMany(part => VectorChunks.Cut(gradient, part.Offset, part.Length)))
            {
                change?.Invoke(chunk);
                await push.RequestStream.WriteAsync(new PushPart { Chunk = chunk });
            }

            var claimed = sha256 ?? (gradient.Length == 0 ? string.Empty : GradientHash.Of(gradient));
            await push.RequestStream.WriteAsync(new PushPart { Trailer = TrainingMapping.ToTrailer(outcome, claimed) });
            await push.RequestStream.CompleteAsync();
        }
        catch (Exception fault) when (fault is RpcException or InvalidOperationException)
        {
            // Answered before everything was sent: the answer counts.
        }

        return await push.ResponseAsync;
    }

    /// <summary>Computes a group and sends what it comes to.</summary>
    public async Task<PushAck> PushTrueAsync(Grant grant)
    {
        var (gradient, outcome) = await ComputeAsync(grant);
        return await PushAsync(grant, gradient, outcome);
    }

    /// <summary>Registers once more under the same name.</summary>
    public Task<RegisterResponse> RegisterAgainAsync() => _client.RegisterAsync(_registration, TestContext.Current.CancellationToken);

    /// <summary>Joins again, a coordinator that was started anew: what it holds is of the term before.</summary>
    public async Task RejoinAsync() => _sessionId = (await AnswerAsync(RegisterAgainAsync)).SessionId;

    public async ValueTask DisposeAsync()
    {
        if (_left)
        {
            return;
        }

        _left = true;
        await _ended.CancelAsync();
        await _reporting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _session.Dispose();
        _client.Dispose();
        await _computers.DisposeAsync();
        _ended.Dispose();
    }

    // The coordinator may still be starting.
    private static async Task<T> AnswerAsync<T>(Func<Task<T>> call)
    {
        while (true)
        {
            try
            {
                return await call();
            }
            catch (Exception away) when (CoordinatorClient.IsTransient(away) && !TestContext.Current.CancellationToken.IsCancellationRequested)
            {
                await Task.Delay(100, TestContext.Current.CancellationToken);
            }
        }
    }

    // A session that reads no commands: it never learns that a result is no longer wanted.
    private async Task ReportAsync()
    {
        while (true)
        {
            await _session.RequestStream.WriteAsync(new SessionReport { SessionId = _sessionId, Progress = { _kept.Keys } }, _ended.Token);
            await Task.Delay(ReportInterval, _ended.Token);
        }
    }

    private sealed class VectorSink(float[] values) : IGradientSink
    {
        public float[] Values => values;

        public List<(int Offset, int Length)> Written { get; } = [];

        public void Write(long offset, ReadOnlySpan<float> part)
        {
            part.CopyTo(values.AsSpan(checked((int)offset), part.Length));
            Written.Add(((int)offset, part.Length));
        }

        public void Progress()
        {
        }
    }
}
