using System.Collections.Concurrent;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;
using Grant = DistTune.Protocol.V1.Grant;
using GroupKind = DistTune.Core.Training.GroupKind;

namespace DistTune.Worker;

/// <summary>One registration: the session stream beside the lanes that pull, compute and push.</summary>
internal sealed class WorkerLink(
    CoordinatorClient client, IComputerSource computers, IReadOnlyDictionary<string, RunFacts> runs, WorkerOptions options, string sessionId, ILogger logger)
{
    private static readonly TimeSpan ReportInterval = TimeSpan.FromSeconds(1);
    private const string Done = "done";
    private const int PullWaitMilliseconds = 20_000;
    private readonly SessionProgress _progress = new();
    private readonly AdapterStore _adapters = new(client);
    private readonly ConcurrentDictionary<string, ConcurrentBag<float[]>> _vectors = new(StringComparer.Ordinal);

    /// <summary>Works until told to leave.</summary>
    /// <param name="drain">Stops pulling; what is held is finished.</param>
    /// <param name="abort">Gives up what is held.</param>
    /// <exception cref="RpcException">The coordinator is away, or no longer knows this session.</exception>
    public async Task RunAsync(CancellationToken drain, CancellationToken abort)
    {
        using var drained = CancellationTokenSource.CreateLinkedTokenSource(drain, abort);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(abort);
        using var session = client.OpenSession(ended.Token);
        await session.RequestStream.WriteAsync(_progress.TakeReport(sessionId), ended.Token);
        if (!await session.ResponseStream.MoveNext(ended.Token))
        {
            throw new RpcException(new Status(StatusCode.Unavailable, "the coordinator closed the session"));
        }

        var lanes = Task.WhenAll(Enumerable.Range(0, options.Threads).Select(_ => Task.Run(() => RunLaneAsync(drained, ended.Token), CancellationToken.None)));
        var commands = ReadCommandsAsync(session.ResponseStream, drained, ended.Token);
        var reports = ReportAsync(session.RequestStream, ended.Token);
        try
        {
            var first = await Task.WhenAny(lanes, commands, reports);
            await first;
            if (first != lanes && !drained.IsCancellationRequested)
            {
                throw new RpcException(new Status(StatusCode.Unavailable, "the coordinator closed the session"));
            }

            await lanes;
            var reason = drain.IsCancellationRequested ? "it was told to stop" : Done;
            logger.Leaving(reason);
            await client.LeaveAsync(sessionId, reason, ended.Token);
        }
        finally
        {
            await ended.CancelAsync();
            await Task.WhenAll(lanes, commands, reports).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task RunLaneAsync(CancellationTokenSource drained, CancellationToken ended)
    {
        using var pulling = CancellationTokenSource.CreateLinkedTokenSource(drained.Token, ended);
        while (!drained.IsCancellationRequested)
        {
            PullResponse answer;
            try
            {
                answer = await client.PullAsync(new PullRequest { SessionId = sessionId, Slots = 1, WaitMilliseconds = PullWaitMilliseconds }, pulling.Token);
            }
            catch (Exception fault) when (fault is OperationCanceledException or RpcException { StatusCode: StatusCode.Cancelled } && pulling.IsCancellationRequested)
            {
                return;
            }

            foreach (var grant in answer.Grants)
            {
                await ComputeAsync(grant, ended);
            }

            if (answer.Drain)
            {
                await drained.CancelAsync();
            }
        }
    }

    private async Task ComputeAsync(Grant grant, CancellationToken ended)
    {
        var reference = TrainingMapping.ToReference(grant.Reference);
        using var wanted = CancellationTokenSource.CreateLinkedTokenSource(ended);
        _progress.Hold(reference, wanted);
        try
        {
            var ack = await ComputeAndPushAsync(grant, reference, wanted.Token, ended);
            if (ack.Status is not (PushStatus.Accepted or PushStatus.Duplicate))
            {
                logger.ResultRefused(reference.Group, ack.Status.ToString(), ack.Reason);
            }
        }
        catch (Exception fault) when (wanted.IsCancellationRequested && !ended.IsCancellationRequested && fault is OperationCanceledException or RpcException { StatusCode: StatusCode.Cancelled })
        {
            logger.Revoked(reference.Group);
        }
        catch (RpcException answer) when (answer.StatusCode == StatusCode.Aborted && !ended.IsCancellationRequested)
        {
            // The step went on while the adapter was being fetched; whether the session is still known, the next pull tells.
            logger.ResultRefused(reference.Group, answer.StatusCode.ToString(), answer.Status.Detail);
        }
        catch (Exception fault) when (fault is not (OperationCanceledException or RpcException))
        {
            logger.GroupFailed(reference.Group, fault.Message);
            await client.ReportFailureAsync(new ReportFailureRequest { SessionId = sessionId, Reference = grant.Reference, Reason = fault.Message }, ended);
        }
        finally
        {
            _progress.Release(reference);
        }
    }

    private async Task<PushAck> ComputeAndPushAsync(Grant grant, GrantReference reference, CancellationToken wanted, CancellationToken ended)
    {
        var run = runs.TryGetValue(reference.RunId, out var facts)
            ? facts
            : throw new Core.DistTuneException(Core.FaultKind.Stale, $"Run {reference.RunId} came after this worker joined.");
        var adapter = await _adapters.GetAsync(sessionId, run, reference.AdapterSha256, ended);
        _progress.Moved(reference);
        var trains = reference.Group.Kind == GroupKind.Train;
        var vector = trains ? RentVector(run) : [];
        using var push = new GradientPush(
            client.OpenPush(wanted), new PushHeader { SessionId = sessionId, Reference = grant.Reference }, vector, () => _progress.Moved(reference));
        GroupOutcome outcome;
        using (WorkerTelemetry.Start(trains ? "forward_backward" : "forward", grant.TraceParent, reference, options.Rank))
        {
            outcome = await computers.ComputerFor(run).ComputeAsync(TrainingMapping.ToGroup(grant), adapter, push, wanted);
        }

        PushAck ack;
        using (WorkerTelemetry.Start("upload", grant.TraceParent, reference, options.Rank))
        {
            ack = await push.CompleteAsync(outcome);
        }

        if (trains)
        {
            // Only after the answer: until then the transport may still read it.
            _vectors[run.RunId].Add(vector);
        }

        return ack;
    }

    // Every group writes the same tensors, so that the gaps of a vector that is used again are still zero.
    private float[] RentVector(RunFacts run) =>
        _vectors.GetOrAdd(run.RunId, _ => []).TryTake(out var vector) ? vector : new float[run.LayoutLength];

    private async Task ReadCommandsAsync(IAsyncStreamReader<SessionCommand> commands, CancellationTokenSource drained, CancellationToken ended)
    {
        while (await commands.MoveNext(ended))
        {
            switch (commands.Current.CommandCase)
            {
                case SessionCommand.CommandOneofCase.Revoke:
                    _progress.Revoke(TrainingMapping.ToReference(commands.Current.Revoke));
                    break;
                case SessionCommand.CommandOneofCase.Drain:
                    await drained.CancelAsync();
                    break;
            }
        }
    }

    private async Task ReportAsync(IClientStreamWriter<SessionReport> reports, CancellationToken ended)
    {
        using var timer = new PeriodicTimer(ReportInterval);
        while (await timer.WaitForNextTickAsync(ended))
        {
            await reports.WriteAsync(_progress.TakeReport(sessionId), ended);
        }
    }
}
