using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Engine.Journal;
using DistTune.Engine.Storage;

namespace DistTune.Engine;

/// <summary>
/// Does what <see cref="RunDecision"/> decides for one run: opens stages, leases groups, takes results, reduces, steps the optimizer.
/// Every change of state is a record that is journalled before it is applied.
/// </summary>
public sealed partial class RunExecution
{
    private readonly Lock _gate = new();
    private readonly Lock _advancing = new();
    private readonly Lock _observing = new();
    private readonly ConcurrentQueue<RunEvent> _events = new();
    private readonly AsyncSignal _changed = new();
    private readonly Func<IReadOnlyList<WorkerSession>> _workers;
    private readonly Action _workAppeared;
    private readonly Action<string, string> _shutOut;
    private readonly IRunJournal _journal;
    private readonly IRunObserver _observer;
    private readonly EngineOptions _options;
    private readonly TimeProvider _time;
    private readonly BufferPool _pool;
    private readonly AdapterOptimizer _optimizer;
    private readonly WorkerPaces _paces = new();
    private readonly RunStore? _store;
    private TrainingRun _run;
    private AdapterVersion _adapter;
    private RunStorageException? _suspended;
    private StageWork? _work;
    private ReductionTree? _reduction;
    private Activity? _span;
    private long _started;
    private int _resumedAt;
    private bool _announced;

    /// <summary>A run that is kept nowhere: its records begin here.</summary>
    internal RunExecution(RunPlan plan, AdapterVersion adapter, IRunJournal journal, IRunObserver observer, RunHost host)
        : this(plan, new RunStart(TrainingRun.Empty, adapter, new AdapterOptimizer(plan)), journal, observer, host, new BufferPool(plan.Layout))
    {
        Record(new RunOpened(plan.RunId, plan.Hashes, adapter.Sha256) { Settings = plan.Settings });
        Record(new TermBegun(_options.Term));
    }

    /// <summary>A run on disk: it goes on where its journal stands.</summary>
    internal RunExecution(RunStore store, IRunObserver observer, RunHost host)
        : this(store.Plan, store.Start, store, observer, host, new BufferPool(store.Plan.Layout, host.Options.VectorsInMemory))
    {
        _store = store;
        if (store.Resumed)
        {
            GoOn(store.Start.Unkept);
        }
    }

    private RunExecution(RunPlan plan, RunStart start, IRunJournal journal, IRunObserver observer, RunHost host, BufferPool pool)
    {
        if (start.Adapter.Values.Length != plan.Layout.Length)
        {
            throw new DistTuneException(FaultKind.Failed, string.Create(
                CultureInfo.InvariantCulture,
                $"The initial adapter of run {plan.RunId} has {start.Adapter.Values.Length} values, its layout {plan.Layout.Length}."));
        }

        Plan = plan;
        _run = start.Run;
        _adapter = start.Adapter;
        _optimizer = start.Optimizer;
        _journal = journal;
        _observer = observer;
        _options = host.Options;
        _time = host.Time;
        _workers = host.Workers;
        _workAppeared = host.WorkAppeared;
        _shutOut = host.ShutOut;
        _pool = pool;
        _halfSent = new HalfSentUploads(_time, _options.LeaseDuration, plan.Layout.Length * sizeof(float));
    }

    /// <summary>What the run was resolved to.</summary>
    public RunPlan Plan { get; }

    /// <summary>The run's state: immutable, as of now.</summary>
    public TrainingRun Run => Volatile.Read(ref _run);

    /// <summary>The current adapter version.</summary>
    public AdapterVersion Adapter => Volatile.Read(ref _adapter);

    /// <summary>Why the run cannot go on in this process; null while it can.</summary>
    public RunStorageException? Suspension => Volatile.Read(ref _suspended);

    /// <summary>How many flat vectors were ever made: the peak of what gradients and their sums took at once.</summary>
    internal int VectorsMade => _pool.Created;

    /// <summary>A vector of the run's length, of those that it uses again; its content is unspecified.</summary>
    internal float[] RentVector() => _pool.Rent();

    /// <summary>Gives back what <see cref="RentVector"/> gave.</summary>
    internal void ReturnVector(float[] vector) => _pool.Return(vector);

    /// <summary>Drives the run to its end.</summary>
    /// <exception cref="DistTuneException">The run failed; the message names step, group and worker.</exception>
    /// <exception cref="RunStorageException">The run's folder cannot be written, or another coordinator has the run: it has not ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the run has not ended.</exception>
    public async Task<RunResult> RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var next = _changed.Next;
            Advance();
            if (Run.Ended)
            {
                break;
            }

            if (Volatile.Read(ref _suspended) is { } fault)
            {
                throw fault;
            }

            await next.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        var run = Run;
        return run.State == RunState.Finished
            ? new RunResult(Adapter, run.Steps, run.Measurements)
            : throw new DistTuneException(FaultKind.Failed, run.Failure!);
    }

    /// <summary>Ends the run before its time; it counts as failed.</summary>
    public void Stop(string reason) => Fail($"Stopped: {reason}");

    /// <summary>Does everything that can be done now, then returns.</summary>
    internal void Advance()
    {
        lock (_advancing)
        {
            try
            {
                while (AdvanceOnce())
                {
                    // After the next step's groups are out: the workers compute while this writes.
                    if (_run.Stage is not null)
                    {
                        KeepTaken();
                        SnapshotIfDue();
                    }

                    Publish();
                }

                KeepTaken();
            }
            catch (RunStorageException fault)
            {
                Suspend(fault);
            }
        }

        Publish();
    }

    /// <summary>Wakes the run, because a worker came or went.</summary>
    internal void Wake() => _changed.Raise();

    /// <summary>Ends the run as failed.</summary>
    internal void Fail(string reason)
    {
        try
        {
            lock (_gate)
            {
                FailUnderGate(reason);
            }
        }
        catch (RunStorageException fault)
        {
            Suspend(fault);
        }

        Publish();
        Wake();
    }

    // Nothing is acknowledged or handed out from now on: what is on disk is unknown until it is read again.
    private void Suspend(RunStorageException fault)
    {
        Interlocked.CompareExchange(ref _suspended, fault, null);
        Wake();
    }

    internal void Observe(RunEvent runEvent)
    {
        _events.Enqueue(runEvent);
        Publish();
    }

    private bool AdvanceOnce()
    {
        RunAction action;
        if (Volatile.Read(ref _suspended) is not null)
        {
            return false;
        }

        lock (_gate)
        {
            action = RunDecision.Next(_run, Plan, _workers().Count, _options.WorkersToStart);
        }

        switch (action)
        {
            case RunAction.OpenMeasurement:
                OpenMeasurement();
                return true;
            case RunAction.OpenStep:
                OpenStep();
                return true;
            case RunAction.CloseMeasurement:
                CloseMeasurement();
                return true;
            case RunAction.CommitStep:
                return CommitStep();
            case RunAction.Finish:
                lock (_gate)
                {
                    Record(new RunFinished(_adapter.Sha256));
                    _events.Enqueue(new RunEnded(Plan.RunId, RunState.Finished, _adapter.Sha256, null));
                }

                _workAppeared();
                return false;
            default:
                return false;
        }
    }

    private void FailUnderGate(string reason)
    {
        if (_run.Ended)
        {
            return;
        }

        Record(new RunFailed(reason));
        _work?.RevokeAll();
        _work = null;
        _halfSent.Clear();
        _reduction?.Release();
        _reduction = null;
        _span?.SetStatus(ActivityStatusCode.Error, reason);
        _span?.Stop();
        _span = null;
        _events.Enqueue(new RunEnded(Plan.RunId, RunState.Failed, _adapter.Sha256, reason));
        _workAppeared();
    }

    private void Record(RunRecord record)
    {
        // Applied first, so that a record that does not follow never reaches the journal; visible only once it is durable.
        var next = _run.Apply(record);
        _journal.Append(record);
        Volatile.Write(ref _run, next);
    }

    // Events are queued under the gate, in order, and handed out outside of it: a slow terminal never holds up a result.
    private void Publish()
    {
        lock (_observing)
        {
            while (_events.TryDequeue(out var runEvent))
            {
                _observer.Observe(runEvent);
            }
        }
    }
}

/// <summary>What a run needs of the registry it lives in.</summary>
/// <param name="Options">Liveness settings.</param>
/// <param name="Time">The clock.</param>
/// <param name="Workers">The workers that take part.</param>
/// <param name="WorkAppeared">Wakes those who wait for groups.</param>
/// <param name="ShutOut">Takes a worker out for good; never called under the run's gate.</param>
internal sealed record RunHost(
    EngineOptions Options, TimeProvider Time, Func<IReadOnlyList<WorkerSession>> Workers, Action WorkAppeared, Action<string, string> ShutOut);
