using DistTune.Core;
using DistTune.Engine;
using DistTune.Engine.Storage;
using DistTune.ServiceDefaults;

namespace DistTune.Coordinator;

/// <summary>Drives the runs to their end, has their files written, sends the workers home and ends the process.</summary>
internal sealed class RunService(
    CoordinatorSetup setup, RunRegistry registry, MemoryTally memory, CoordinatorExit exit, IHostApplicationLifetime lifetime, ILogger<RunService> logger)
    : BackgroundService
{
    // Longer than it takes to notice that a worker's network is gone: one that is parted for seconds still hears that it may leave.
    private static readonly TimeSpan FarewellTimeout = TimeSpan.FromSeconds(15);

    // A worker that announced itself still loads its base; when it registers, it is told to leave.
    private static readonly TimeSpan ArrivalTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan FarewellInterval = TimeSpan.FromMilliseconds(50);
    private readonly TrainingMetrics _metrics = new(setup.WorkersExpected, TimeProvider.System);
    private readonly List<(CoordinatedRun Run, RunExecution Execution)> _runs = [];

    /// <summary>Adds the runs before the server listens: no worker may find the registry empty.</summary>
    public override Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var run in setup.Runs)
        {
            var observer = new CompositeRunObserver(_metrics, run.Outputs, new LoggingObserver(logger, run.LoggingSteps));
            foreach (var notice in run.Store?.Notices ?? [])
            {
                logger.Notice(notice);
            }

            if (run.Notice is { } start)
            {
                logger.Notice(start);
            }

            if (run.Store is { Resumed: true, Found: var found })
            {
                logger.RunGoesOn(found.RunId, found.Term, found.Steps.Count, run.Plan.Steps);
            }

            var execution = run.Store is { } store
                ? registry.Add(store, observer)
                : registry.Add(run.Plan, run.InitialAdapter, new InMemoryRunJournal(), observer);
            _runs.Add((run, execution));
        }

        return base.StartAsync(cancellationToken);
    }

    public override void Dispose()
    {
        _metrics.Dispose();
        foreach (var run in setup.Runs)
        {
            run.Store?.Dispose();
        }

        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await lifetime.StartedAsync(stoppingToken);
            var endings = await Task.WhenAll(_runs.Select(run => RunAsync(run.Run, run.Execution, stoppingToken)));
            exit.Code = endings.Max();
            if (exit.Code != CoordinatorExit.Unfinished)
            {
                await SendWorkersHomeAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Interrupted: the exit code says so already.
        }
        finally
        {
            lifetime.StopApplication();
        }
    }

    private async Task<int> RunAsync(CoordinatedRun run, RunExecution execution, CancellationToken stoppingToken)
    {
        using var outputs = run.Outputs;
        try
        {
            var result = await execution.RunAsync(stoppingToken);
            outputs.Complete(result, memory.TotalBytes);
            return CoordinatorExit.Finished;
        }
        catch (RunStorageException fault)
        {
            // The run has not failed; whoever starts this process again goes on with it, unless somebody else does already.
            logger.RunFailed(run.Plan.RunId, fault.Message);
            return fault.Superseded ? CoordinatorExit.Failed : CoordinatorExit.Unfinished;
        }
        catch (DistTuneException fault)
        {
            // A run that failed was logged by its observers; one whose files cannot be written was not.
            if (execution.Run.State != RunState.Failed)
            {
                logger.RunFailed(run.Plan.RunId, fault.Message);
            }

            return CoordinatorExit.Failed;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            logger.RunFailed(run.Plan.RunId, $"Its files cannot be written: {fault.Message}");
            return CoordinatorExit.Failed;
        }
    }

    private async Task SendWorkersHomeAsync(CancellationToken stoppingToken)
    {
        registry.DrainAll();
        await WaitUntilAsync(() => registry.Announced.Count == 0, ArrivalTimeout, stoppingToken);
        if (!await WaitUntilAsync(() => registry.Workers.Count == 0, FarewellTimeout, stoppingToken))
        {
            logger.WorkersRemain(registry.Workers.Count, FarewellTimeout.TotalSeconds);
        }
    }

    private static async Task<bool> WaitUntilAsync(Func<bool> reached, TimeSpan limit, CancellationToken stoppingToken)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        timeout.CancelAfter(limit);
        try
        {
            while (!reached())
            {
                await Task.Delay(FarewellInterval, timeout.Token);
            }

            return true;
        }
        catch (OperationCanceledException) when (!stoppingToken.IsCancellationRequested)
        {
            return false;
        }
    }
}
