using System.Diagnostics;
using DistTune.Core;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using DistTune.ServiceDefaults;
using Grpc.Core;
using Polly;

namespace DistTune.Worker;

/// <summary>Joins the coordinator, works, joins again when the connection is lost, and ends when told to leave.</summary>
internal sealed class WorkerService(
    WorkerOptions options, CoordinatorClient client, IComputerSource computers, WorkerExit exit, IHostApplicationLifetime lifetime, ILogger<WorkerService> logger)
    : BackgroundService
{
    // Within the host's own shutdown timeout of 6 s.
    private static readonly TimeSpan DrainGrace = TimeSpan.FromSeconds(4);

    // Workers may be started before their coordinator. One that was there and stays away for longer than any restart takes has ended
    // without us: about ten minutes of calls. A coordinator that was restarted is back within seconds: at first it is called often.
    private const int QuickCallsToReturn = 40;
    private const int CallsToReturn = QuickCallsToReturn + 60;
    private long _term;
    private readonly ResiliencePipeline _arrival = Retry.Create("The coordinator", CoordinatorClient.IsTransient, int.MaxValue, logger);
    private readonly ResiliencePipeline _return = Retry.Create("The coordinator", CoordinatorClient.IsTransient, CallsToReturn, logger, quickCalls: QuickCallsToReturn);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await lifetime.StartedAsync(stoppingToken);
            await WorkAsync(stoppingToken);
            exit.Code = WorkerExit.Done;
        }
        catch (Exception fault) when (stoppingToken.IsCancellationRequested && (fault is OperationCanceledException || CoordinatorClient.IsLost(fault)))
        {
            // Asked to stop, in an orderly way: what was held has been given back by the end of the session.
            exit.Code = WorkerExit.Done;
        }
        catch (DistTuneException fault)
        {
            Fail(fault);
        }
        catch (RpcException answer) when (FaultStatus.ToFault(answer) is { } fault)
        {
            Fail(fault);
        }
        catch (Exception fault) when (CoordinatorClient.IsLost(fault))
        {
            Fail(new DistTuneException(FaultKind.Failed, $"The coordinator at {options.Coordinator} has gone and did not come back: {fault.Message} Start the worker again with the next run."));
        }
        finally
        {
            lifetime.StopApplication();
        }
    }

    private void Fail(DistTuneException fault)
    {
        logger.CannotWork(fault.Message);
        exit.Code = fault.Kind is FaultKind.Configuration or FaultKind.InvalidFile ? WorkerExit.Configuration : WorkerExit.Failed;
    }

    private async Task WorkAsync(CancellationToken stoppingToken)
    {
        var known = await _arrival.ExecuteAsync(async token => await client.GetRunsAsync(options.Name, token), stoppingToken);
        if (known.Runs.Count == 0)
        {
            throw new DistTuneException(FaultKind.Failed, $"The coordinator at {options.Coordinator} has no run; start it with one.");
        }

        var started = Stopwatch.GetTimestamp();
        var baseSha256 = await computers.LoadBaseAsync(known.Runs[0], stoppingToken);
        logger.BaseLoaded(options.BaseModel ?? known.Runs[0].BaseModel, Stopwatch.GetElapsedTime(started).TotalSeconds);
        var runs = known.Runs.Where(run => run.BaseSha256 == baseSha256).ToDictionary(run => run.RunId, StringComparer.Ordinal);
        var fingerprint = WorkerFingerprint.Of(computers.Library, baseSha256);

        using var abort = new CancellationTokenSource();
        await using var grace = stoppingToken.UnsafeRegister(_ => abort.CancelAfter(DrainGrace), null);
        await using var held = new HeldWork(client, abort.Token);
        foreach (var run in runs.Values)
        {
            fingerprint = fingerprint with { Canaries = fingerprint.Canaries.Add(run.RunId, await CanaryAsync(run, held, stoppingToken)) };
        }

        var lanes = new LaneComputers(computers, runs, options.Rank);
        while (await WorkOnceAsync(lanes, held, fingerprint, stoppingToken))
        {
            stoppingToken.ThrowIfCancellationRequested();
        }
    }

    private async Task<string> CanaryAsync(RunFacts run, HeldWork held, CancellationToken stoppingToken)
    {
        var computer = computers.ComputerFor(run);
        var started = Stopwatch.GetTimestamp();

        // Its vectors are as long as the run's own and become those: left to the collector, they could stay beside them for the whole run.
        var adapter = new float[run.LayoutLength];
        var gradient = held.RentVector(run);
        try
        {
            var digest = await Canary.ComputeAsync(computer, run.RunId, run.VocabularySize, Canary.Adapter(adapter), gradient, stoppingToken);
            held.Adapters.Reuse(run.RunId, adapter);
            held.Return(run.RunId, gradient);
            logger.CanaryComputed(digest, run.RunId, Stopwatch.GetElapsedTime(started).TotalSeconds);
            return digest;
        }
        catch (Exception fault) when (fault is not (OperationCanceledException or DistTuneException))
        {
            throw new DistTuneException(FaultKind.Failed, $"The canary of run {run.RunId}, a group of 64 tokens, could not be computed: {fault.Message} This worker could not compute the run's groups either.", fault);
        }
    }

    // One that answers with a lower term than was seen before has been replaced and does not know it yet.
    private async Task<RegisterResponse> RegisterAsync(RegisterRequest request, CancellationToken cancellationToken)
    {
        var answer = await client.RegisterAsync(request, cancellationToken);
        return answer.Term >= _term
            ? answer
            : throw new RpcException(new Status(StatusCode.Unavailable, FormattableString.Invariant($"the coordinator is of term {answer.Term}, which is over; {_term} has begun")));
    }

    /// <returns>Whether to join again.</returns>
    private async Task<bool> WorkOnceAsync(LaneComputers lanes, HeldWork held, WorkerFingerprint fingerprint, CancellationToken stoppingToken)
    {
        var request = new RegisterRequest
        {
            Worker = options.Name,
            Rank = options.Rank,
            Slots = options.Threads,
            Fingerprint = TrainingMapping.ToMessage(fingerprint),
        };
        var registered = await _return.ExecuteAsync(async token => await RegisterAsync(request, token), stoppingToken);
        _term = registered.Term;
        logger.Joined(options.Name, options.Coordinator, options.Threads);

        try
        {
            var link = new WorkerLink(client, lanes, held, options, registered.SessionId, logger);
            await link.RunAsync(stoppingToken);
            return false;
        }
        catch (Exception fault) when (!stoppingToken.IsCancellationRequested && CoordinatorClient.IsLost(fault))
        {
            logger.SessionLost(fault is RpcException answer ? answer.Status.Detail : fault.Message);
            return true;
        }
    }
}
