using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grpc.Core;
using FloatRange = DistTune.Protocol.V1.FloatRange;
using Grant = DistTune.Protocol.V1.Grant;
using GroupKind = DistTune.Core.Training.GroupKind;
using UploadState = DistTune.Protocol.V1.UploadState;

namespace DistTune.Worker;

/// <summary>One registration: the session stream beside the lanes that pull, compute and push.</summary>
internal sealed class WorkerLink(
    CoordinatorClient client, LaneComputers computers, HeldWork held, WorkerOptions options, string sessionId, ILogger logger)
{
    private static readonly TimeSpan ReportInterval = TimeSpan.FromSeconds(1);
    private const string Done = "done";
    private const int PullWaitMilliseconds = 20_000;
    private readonly SessionProgress _progress = new();

    /// <summary>Works until told to leave.</summary>
    /// <param name="drain">Stops pulling; what is held is finished.</param>
    /// <exception cref="RpcException">The coordinator is away, or no longer knows this session.</exception>
    public async Task RunAsync(CancellationToken drain)
    {
        using var drained = CancellationTokenSource.CreateLinkedTokenSource(drain, held.Abort);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(held.Abort);
        using var session = client.OpenSession(ended.Token);
        await session.RequestStream.WriteAsync(_progress.TakeReport(sessionId), ended.Token);
        if (!await session.ResponseStream.MoveNext(ended.Token))
        {
            throw new RpcException(new Status(StatusCode.Unavailable, "the coordinator closed the session"));
        }

        // All of them before anyone pulls: what this worker has computed already must not be granted to it again.
        var unsent = await ClaimAsync(ended.Token);
        var broken = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var lanes = Task.WhenAll(Enumerable.Range(0, options.Threads).Select(
            lane => Task.Run(() => RunLaneAsync(unsent.ElementAtOrDefault(lane), drained, broken, ended.Token), CancellationToken.None)));
        var commands = ReadCommandsAsync(session.ResponseStream, drained, ended.Token);
        var reports = ReportAsync(session.RequestStream, ended.Token);
        try
        {
            var first = await Task.WhenAny(lanes, broken.Task, commands, reports);
            await first;
            if (first != lanes && !drained.IsCancellationRequested)
            {
                throw new RpcException(new Status(StatusCode.Unavailable, "the coordinator closed the session"));
            }

            await lanes;
            var reason = drain.IsCancellationRequested ? "it was told to stop" : Done;
            logger.Leaving(reason);
            await SayGoodbyeAsync(reason, ended.Token);
        }
        finally
        {
            await ended.CancelAsync();
            await Task.WhenAll(lanes, commands, reports).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // A coordinator that has sent everybody home ends, and its answer may be lost with it: whoever was told to leave leaves all the same.
    private async Task SayGoodbyeAsync(string reason, CancellationToken ended)
    {
        try
        {
            await client.LeaveAsync(sessionId, reason, ended);
        }
        catch (Exception fault) when (CoordinatorClient.IsLost(fault) && !ended.IsCancellationRequested)
        {
            logger.LeftUnheard(fault is RpcException answer ? answer.Status.Detail : fault.Message);
        }
    }

    // What the coordinator does not want any more is given up.
    private async Task<List<Claim>> ClaimAsync(CancellationToken ended)
    {
        var claims = new List<Claim>();
        try
        {
            for (var waiting = held.Unsent.Count; waiting > 0 && held.Unsent.TryPeek(out var result); waiting--)
            {
                var received = await QueryAsync(result, ended);
                held.Unsent.TryDequeue(out _);
                if (received is null)
                {
                    await result.DisposeAsync();
                }
                else
                {
                    claims.Add(new Claim(result, received));
                }
            }

            return claims;
        }
        catch
        {
            claims.ForEach(claim => held.Unsent.Enqueue(claim.Result));
            throw;
        }
    }

    /// <returns>What has arrived of a result, which is sent under the new grant from now on; null if it is not wanted.</returns>
    private async Task<IReadOnlyList<FloatRange>?> QueryAsync(GroupResult result, CancellationToken ended)
    {
        var answer = await client.QueryUploadAsync(new QueryUploadRequest { SessionId = sessionId, Reference = result.Reference }, ended);
        var group = TrainingMapping.ToReference(result.Reference).Group;
        if (answer.Reference is null)
        {
            logger.ResultRefused(group, answer.State.ToString(), answer.Reason);
            return null;
        }

        logger.Resuming(group, answer.Received.Sum(range => range.End - range.Start) * sizeof(float));
        result.Reference = answer.Reference;
        return answer.State == UploadState.Partial ? answer.Received : [];
    }

    // A lane that cannot go on ends the session: what the others hold is kept, and all of them join again.
    private async Task RunLaneAsync(Claim? claim, CancellationTokenSource drained, TaskCompletionSource broken, CancellationToken ended)
    {
        try
        {
            await RunLaneAsync(claim, drained, ended);
        }
        catch (Exception fault)
        {
            broken.TrySetException(fault);
            throw;
        }
    }

    private async Task RunLaneAsync(Claim? claim, CancellationTokenSource drained, CancellationToken ended)
    {
        if (claim is not null)
        {
            await FinishAsync(claim.Result, claim.Received, ended);
        }

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
        RentedAdapter adapter;
        RunFacts run;
        try
        {
            run = computers.RunOf(reference);
            adapter = await held.Adapters.RentAsync(sessionId, run, reference.AdapterSha256, ended);
        }
        catch (RpcException answer) when (answer.StatusCode == StatusCode.Aborted && !ended.IsCancellationRequested)
        {
            // The step went on while the adapter was being fetched; whether the session is still known, the next pull tells.
            logger.ResultRefused(reference.Group, answer.StatusCode.ToString(), answer.Status.Detail);
            return;
        }
        catch (Core.DistTuneException fault)
        {
            await ReportFailureAsync(grant.Reference, fault, ended);
            return;
        }

        _progress.Moved(reference);
        var vector = reference.Group.Kind == GroupKind.Train ? held.RentVector(run) : [];
        var result = new GroupResult(grant, vector, () => _progress.Moved(reference), (sink, wanted) => computers.ComputeAsync(grant, adapter, sink, wanted), held.Abort);
        await FinishAsync(result, null, ended);
    }

    /// <summary>Sends a result while it is computed, until it is acknowledged or not wanted; with the connection lost, it is kept.</summary>
    private async Task FinishAsync(GroupResult result, IReadOnlyList<FloatRange>? received, CancellationToken ended)
    {
        var reference = TrainingMapping.ToReference(result.Reference);
        _progress.Hold(reference, result.Wanted);
        result.Moved = () => _progress.Moved(reference);
        var keeps = false;
        try
        {
            using var sending = CancellationTokenSource.CreateLinkedTokenSource(result.Wanted.Token, ended);
            var ack = await SendAsync(result, received, sending.Token);
            if (ack.Status is not (PushStatus.Accepted or PushStatus.Duplicate))
            {
                logger.ResultRefused(reference.Group, ack.Status.ToString(), ack.Reason);
            }

            if (reference.Group.Kind == GroupKind.Train && result.Outcome.IsCompleted)
            {
                held.Return(reference.RunId, result.Vector);
            }
        }
        catch (Exception fault) when (result.Wanted.IsCancellationRequested && !ended.IsCancellationRequested && fault is OperationCanceledException or RpcException { StatusCode: StatusCode.Cancelled })
        {
            logger.Revoked(reference.Group);
        }
        catch (RpcException answer) when (answer.StatusCode == StatusCode.Aborted && !ended.IsCancellationRequested)
        {
            logger.ResultRefused(reference.Group, answer.StatusCode.ToString(), answer.Status.Detail);
        }
        catch (Exception fault) when (!result.Outcome.IsFaulted && (fault is OperationCanceledException || CoordinatorClient.IsLost(fault)))
        {
            keeps = !result.Wanted.IsCancellationRequested;
            throw;
        }
        catch (Exception fault) when (fault is not (OperationCanceledException or RpcException))
        {
            await ReportFailureAsync(result.Reference, fault, ended);
        }
        finally
        {
            _progress.Release(reference);
            if (keeps)
            {
                held.Unsent.Enqueue(result);
            }
            else
            {
                await result.DisposeAsync();
            }
        }
    }

    private async Task<PushAck> SendAsync(GroupResult result, IReadOnlyList<FloatRange>? received, CancellationToken cancellationToken)
    {
        while (true)
        {
            // An empty list is of an upload that is not there: it begins like a first one.
            var resumes = received is { Count: > 0 } ? received : null;
            var ack = await new GradientPush(client, result, sessionId, options.Rank).SendAsync(resumes, cancellationToken);
            if (ack.Status != PushStatus.Unknown || (received = await QueryAsync(result, cancellationToken)) is null)
            {
                return ack;
            }
        }
    }

    private async Task ReportFailureAsync(GroupReference reference, Exception fault, CancellationToken ended)
    {
        logger.GroupFailed(TrainingMapping.ToReference(reference).Group, fault.Message);
        await client.ReportFailureAsync(new ReportFailureRequest { SessionId = sessionId, Reference = reference, Reason = fault.Message }, ended);
    }

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

    private sealed record Claim(GroupResult Result, IReadOnlyList<FloatRange> Received);
}
