using System.Globalization;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>A run with its workers in this process: the same Engine as the distributed run, without a wire.</summary>
public static class InProcessTraining
{
    /// <summary>Runs a plan to its end.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="initialAdapter">The adapter to start from (see <see cref="AdapterHash.Version"/>).</param>
    /// <param name="computers">One computer a worker; they stay the caller's.</param>
    /// <param name="observer">Sees the progress.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Stops the run.</param>
    /// <exception cref="DistTune.Core.DistTuneException">The run failed.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task<RunResult> RunAsync(
        RunPlan plan,
        AdapterVersion initialAdapter,
        IReadOnlyList<IGroupComputer> computers,
        IRunObserver observer,
        TimeProvider time,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return RunAsync(plan, registry => registry.Add(plan, initialAdapter, new InMemoryRunJournal(), observer), computers, time, cancellationToken);
    }

    /// <summary>Runs a plan to its end from where it stands on disk.</summary>
    /// <param name="store">The run, opened; stays the caller's.</param>
    /// <param name="computers">One computer a worker; they stay the caller's.</param>
    /// <param name="observer">Sees the progress.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Stops the run.</param>
    /// <exception cref="DistTune.Core.DistTuneException">The run failed, or its folder cannot be written.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task<RunResult> RunAsync(
        RunStore store, IReadOnlyList<IGroupComputer> computers, IRunObserver observer, TimeProvider time, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(store);
        return RunAsync(store.Plan, registry => registry.Add(store, observer), computers, time, cancellationToken);
    }

    private static async Task<RunResult> RunAsync(
        RunPlan plan, Func<RunRegistry, RunExecution> add, IReadOnlyList<IGroupComputer> computers, TimeProvider time, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(computers);
        ArgumentOutOfRangeException.ThrowIfZero(computers.Count, nameof(computers));

        // All workers are here from the start; there is nobody to give an overdue group to who would be any faster.
        var options = new EngineOptions
        {
            WorkersToStart = computers.Count,
            LeaseDuration = TimeSpan.FromDays(1),
            BackupAfter = TimeSpan.FromDays(1),
            ArbiterWait = TimeSpan.Zero,
        };
        using var registry = new RunRegistry(options, time);
        var run = add(registry);

        // One that goes on with a run on another kind of machine is found out here, as a worker that joins would be.
        var canaries = await CanariesAsync(run, computers, cancellationToken).ConfigureAwait(false);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var fingerprint = WorkerFingerprint.Of("in-process", plan.Hashes.Base);
        var workers = computers
            .Select((computer, rank) => new LocalWorker(
                registry,
                registry.Register(
                    string.Create(CultureInfo.InvariantCulture, $"worker-{rank}"),
                    rank,
                    computer.Slots,
                    fingerprint with { Canaries = fingerprint.Canaries.Add(plan.RunId, canaries[rank]) }),
                computer))
            .Select(worker => worker.RunAsync(stop.Token))
            .ToList();
        try
        {
            var running = run.RunAsync(stop.Token);
            await Task.WhenAny([running, .. workers]).ConfigureAwait(false);
            if (!running.IsCompleted)
            {
                // A worker broke before the run ended: its exception is the cause, whatever follows from it.
                await await Task.WhenAny(workers).ConfigureAwait(false);
            }

            return await running.ConfigureAwait(false);
        }
        finally
        {
            registry.DrainAll();
            await stop.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(workers).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // In vectors that the run takes up afterwards: left to the collector, vectors of their own could stay beside the run's to its end.
    private static async Task<string[]> CanariesAsync(RunExecution run, IReadOnlyList<IGroupComputer> computers, CancellationToken cancellationToken)
    {
        var values = run.RentVector();
        var gradients = computers.Select(_ => run.RentVector()).ToList();
        var adapter = Canary.Adapter(values);
        var canaries = await Task.WhenAll(computers.Zip(gradients, (computer, gradient) =>
            Canary.ComputeAsync(computer, run.Plan.RunId, run.Plan.VocabularySize, adapter, gradient, cancellationToken))).ConfigureAwait(false);
        gradients.ForEach(run.ReturnVector);
        run.ReturnVector(values);
        return canaries;
    }
}
