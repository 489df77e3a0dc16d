using System.Threading.Channels;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;

namespace DistTune.Coordinator;

/// <summary>The workers' service: the wire on one side, the Engine's registry on the other.</summary>
internal sealed class TrainingService(
    RunRegistry registry, SessionLinks links, OpenPushes pushes, ClientPatience patience, CoordinatorMetrics metrics, MemoryTally memory,
    ILogger<TrainingService> logger)
    : Training.TrainingBase
{
    private const int LongestName = 200;
    private static readonly TimeSpan LongestPull = TimeSpan.FromSeconds(30);

    public override Task<GetRunsResponse> GetRuns(GetRunsRequest request, ServerCallContext context)
    {
        if (request.Worker.Length is > 0 and <= LongestName)
        {
            registry.Announce(request.Worker);
        }

        return Task.FromResult(new GetRunsResponse { Term = registry.Term, Runs = { registry.Runs.Select(run => TrainingMapping.ToFacts(run.Plan)) } });
    }

    public override Task<RegisterResponse> Register(RegisterRequest request, ServerCallContext context)
    {
        if (request.Worker.Length is 0 or > LongestName || request.Slots is < 1 or > 4096)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, $"A worker needs a name of 1 to {LongestName} characters and 1 to 4096 slots, got '{request.Worker}' and {request.Slots}."));
        }

        MessageBounds.Check(request.Fingerprint);
        try
        {
            var worker = registry.Register(request.Worker, request.Rank, request.Slots, TrainingMapping.ToFingerprint(request.Fingerprint), opensSession: true);
            return Task.FromResult(new RegisterResponse { SessionId = worker.Id, Term = registry.Term });
        }
        catch (DistTuneException refusal)
        {
            logger.JoinRefused(refusal.Message);
            throw;
        }
    }

    public override async Task Session(IAsyncStreamReader<SessionReport> requestStream, IServerStreamWriter<SessionCommand> responseStream, ServerCallContext context)
    {
        using var stop = patience.Until(context);
        if (!await requestStream.MoveNext(stop.Token))
        {
            return;
        }

        var worker = registry.FindWorker(requestStream.Current.SessionId);
        var sending = SendAsync(links.Open(worker.Id), responseStream, context, stop);
        try
        {
            registry.Open(worker);
            do
            {
                MessageBounds.Check(requestStream.Current);
                metrics.Heartbeat(worker);
                memory.Report(worker.Name, requestStream.Current.PeakMemoryBytes);
                foreach (var progress in requestStream.Current.Progress)
                {
                    registry.Progress(TrainingMapping.ToReference(progress));
                }
            }
            while (await requestStream.MoveNext(stop.Token));
        }
        finally
        {
            // Whatever ended the stream: a worker without a session holds nothing.
            registry.Leave(worker, worker.Draining ? LoggingObserver.Done : "its connection ended");
            links.Close(worker.Id);
            await sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    public override async Task<PullResponse> Pull(PullRequest request, ServerCallContext context)
    {
        var worker = registry.FindWorker(request.SessionId);
        using var stop = patience.Until(context);
        var wait = TimeSpan.FromMilliseconds(Math.Clamp(request.WaitMilliseconds, 0, (int)LongestPull.TotalMilliseconds));
        var answer = await registry.PullAsync(worker, Math.Clamp(request.Slots, 1, worker.Slots), wait, stop.Token);
        foreach (var grant in answer.Grants)
        {
            links.Watch(worker.Id, grant);
        }

        return new PullResponse { Drain = answer.Drain, Grants = { answer.Grants.Select(TrainingMapping.ToMessage) } };
    }

    public override async Task GetAdapter(GetAdapterRequest request, IServerStreamWriter<Chunk> responseStream, ServerCallContext context)
    {
        registry.FindWorker(request.SessionId);
        var adapter = RequireCurrent(request);
        if (request.Offset < 0 || request.Offset > adapter.Values.Length)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, $"The offset must be within 0..{adapter.Values.Length}, got {request.Offset}."));
        }

        foreach (var chunk in VectorChunks.Cut(adapter.Values, request.Offset, adapter.Values.Length - request.Offset))
        {
            // A version that is over is not held for those who take their time.
            RequireCurrent(request);
            await patience.WriteAsync(responseStream, chunk, context);
            metrics.Sent(chunk.Data.Length);
        }
    }

    public override async Task<PushAck> Push(IAsyncStreamReader<PushPart> requestStream, ServerCallContext context)
    {
        if (!await patience.NextAsync(requestStream, () => false, context.CancellationToken) || requestStream.Current.Header is not { } header)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, "A push starts with its header."));
        }

        var worker = registry.FindWorker(header.SessionId);
        var reference = TrainingMapping.ToReference(header.Reference);
        GradientUpload? upload = null;
        if (reference.Group.Kind == Core.Training.GroupKind.Train)
        {
            (upload, var refusal) = header.Resumes ? registry.ResumeUpload(worker, reference) : registry.BeginUpload(worker, reference);
            if (upload is null)
            {
                return TrainingMapping.ToMessage(refusal);
            }
        }

        using var push = pushes.Open(worker, reference, context.CancellationToken);
        try
        {
            return TrainingMapping.ToMessage(await TakeAsync(requestStream, worker, reference, upload, push.Stopped));
        }
        catch (Exception lost) when (upload is not null && lost is OperationCanceledException or IOException)
        {
            registry.KeepHalfSent(worker, reference, upload);
            upload = null;
            throw;
        }
        finally
        {
            upload?.Dispose();
        }
    }

    public override async Task<QueryUploadResponse> QueryUpload(QueryUploadRequest request, ServerCallContext context)
    {
        var worker = registry.FindWorker(request.SessionId);
        var reference = TrainingMapping.ToReference(request.Reference);
        await pushes.EndAsync(worker, reference, context.CancellationToken);
        var answer = registry.QueryUpload(worker, reference);
        if (answer.Grant is { } grant)
        {
            links.Watch(worker.Id, grant);
        }

        return TrainingMapping.ToMessage(answer);
    }

    public override Task<ReportFailureResponse> ReportFailure(ReportFailureRequest request, ServerCallContext context)
    {
        registry.ReportFailure(registry.FindWorker(request.SessionId), TrainingMapping.ToReference(request.Reference), MessageBounds.Reason(request.Reason));
        return Task.FromResult(new ReportFailureResponse());
    }

    public override Task<DrainResponse> Drain(DrainRequest request, ServerCallContext context)
    {
        registry.Drain(registry.FindWorker(request.SessionId));
        return Task.FromResult(new DrainResponse());
    }

    public override Task<LeaveResponse> Leave(LeaveRequest request, ServerCallContext context)
    {
        registry.Leave(registry.FindWorker(request.SessionId), MessageBounds.Reason(request.Reason));
        return Task.FromResult(new LeaveResponse());
    }

    private async Task<SubmitVerdict> TakeAsync(
        IAsyncStreamReader<PushPart> parts, WorkerSession worker, GrantReference reference, GradientUpload? upload, CancellationToken cancellationToken)
    {
        // A computer may be silent for long: its session shows that it goes on. Silence without a lease is the end.
        while (await patience.NextAsync(parts, () => registry.IsLeased(reference), cancellationToken))
        {
            switch (parts.Current.PartCase)
            {
                case PushPart.PartOneofCase.Chunk when upload is not null:
                    if (Write(upload, parts.Current.Chunk) is { } fault)
                    {
                        registry.ReportFailure(worker, reference, fault);
                        return new SubmitVerdict(SubmitStatus.Invalid, fault);
                    }

                    // Bytes are progress: a slow network doesn't cost the lease.
                    registry.Progress(reference);
                    break;
                case PushPart.PartOneofCase.Trailer:
                    var trailer = parts.Current.Trailer;
                    MessageBounds.Check(trailer);
                    var sha256 = upload is null ? null : trailer.GradientSha256;
                    return registry.Submit(worker, reference, TrainingMapping.ToOutcome(trailer), upload, sha256);
                default:
                    throw new RpcException(new Status(StatusCode.InvalidArgument, $"A {parts.Current.PartCase} is not expected here."));
            }
        }

        throw new RpcException(new Status(StatusCode.InvalidArgument, "The push ended without its trailer; nothing of it is used."));
    }

    private string? Write(GradientUpload upload, Chunk chunk)
    {
        metrics.Received(chunk.Data.Length);
        try
        {
            return upload.Write(chunk.Offset, VectorChunks.Open(chunk));
        }
        catch (DistTuneException damage)
        {
            return damage.Message;
        }
    }

    private AdapterVersion RequireCurrent(GetAdapterRequest request)
    {
        var adapter = registry.Find(request.RunId).Adapter;
        return adapter.Sha256 == request.AdapterSha256
            ? adapter
            : throw new DistTuneException(FaultKind.Stale, $"The adapter of run {request.RunId} is {adapter.Sha256} now, {request.AdapterSha256} is asked for; pull again.");
    }

    private async Task SendAsync(
        ChannelReader<SessionCommand> commands, IServerStreamWriter<SessionCommand> responses, ServerCallContext context, CancellationTokenSource stop)
    {
        try
        {
            await foreach (var command in commands.ReadAllAsync(stop.Token))
            {
                await patience.WriteAsync(responses, command, context);
            }
        }
        catch (Exception fault) when (fault is RpcException or ChannelClosedException)
        {
            // Whoever does not read what it is told is gone, whatever it still sends.
            context.GetHttpContext().Abort();
            await stop.CancelAsync();
        }
    }
}
