using System.Collections.Immutable;
using System.Globalization;
using DistTune.Core;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>
/// The runs of one coordinator and the workers they share. A worker is granted groups of any run over the base it holds, so that the
/// idle groups of one run fill the gaps of another.
/// </summary>
public sealed partial class RunRegistry : IDisposable
{
    private const int MostAnnounced = 10_000;
    private readonly Lock _gate = new();
    private readonly AsyncSignal _workAppeared = new();
    private readonly EngineOptions _options;
    private readonly TimeProvider _time;
    private readonly ITimer _sweeper;
    private ImmutableList<RunExecution> _runs = [];
    private ImmutableDictionary<string, WorkerSession> _sessions = ImmutableDictionary<string, WorkerSession>.Empty;
    private ImmutableHashSet<string> _announced = ImmutableHashSet.Create<string>(StringComparer.Ordinal);
    private WorkerFingerprint? _fingerprint;
    private long _registrations;
    private bool _draining;

    /// <summary>Creates a registry without runs.</summary>
    public RunRegistry(EngineOptions options, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(time);
        _options = options;
        _time = time;
        var period = TimeSpan.FromTicks(Math.Clamp(options.LeaseDuration.Ticks / 8, TimeSpan.FromMilliseconds(50).Ticks, TimeSpan.FromSeconds(1).Ticks));
        _sweeper = time.CreateTimer(_ => Sweep(), null, period, period);
    }

    /// <summary>The coordinator's term: the highest of its runs'.</summary>
    public long Term => Math.Max(_options.Term, _runs.Select(run => run.Run.Term).DefaultIfEmpty().Max());

    /// <summary>The runs, in the order they were added.</summary>
    public IReadOnlyList<RunExecution> Runs => _runs;

    /// <summary>The registered workers.</summary>
    public IReadOnlyCollection<WorkerSession> Workers => [.. _sessions.Values.OrderBy(worker => worker.Rank).ThenBy(worker => worker.Id, StringComparer.Ordinal)];

    /// <summary>Workers that said they are coming and have not registered yet: they are still loading the base.</summary>
    public IReadOnlyCollection<string> Announced => _announced;

    /// <summary>Adds a run; it starts when its <see cref="RunExecution.RunAsync"/> is called.</summary>
    /// <exception cref="DistTuneException">There is a run of that id, or the adapter does not fit the layout.</exception>
    public RunExecution Add(RunPlan plan, AdapterVersion initialAdapter, IRunJournal journal, IRunObserver observer)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(initialAdapter);
        return Add(new RunExecution(plan, initialAdapter, journal, observer, HostFor(plan)));
    }

    /// <summary>Adds a run that is kept on disk; it goes on where it stands.</summary>
    /// <param name="store">The run, opened; stays the caller's.</param>
    /// <param name="observer">Sees the progress.</param>
    /// <exception cref="DistTuneException">There is a run of that id, or what is on disk contradicts the plan.</exception>
    public RunExecution Add(RunStore store, IRunObserver observer)
    {
        ArgumentNullException.ThrowIfNull(store);
        return Add(new RunExecution(store, observer, HostFor(store.Plan)));
    }

    private RunHost HostFor(RunPlan plan) =>
        new(
            _options,
            _time,
            () => [.. _sessions.Values.Where(session => session.Present && session.Fingerprint.BaseSha256 == plan.Hashes.Base)],
            _workAppeared.Raise,
            ShutOut);

    private void ShutOut(string worker, string reason)
    {
        foreach (var session in _sessions.Values.Where(session => session.Name == worker))
        {
            Leave(session, $"shut out: {reason}");
        }
    }

    private RunExecution Add(RunExecution run)
    {
        lock (_gate)
        {
            if (_runs.Exists(other => other.Plan.RunId == run.Plan.RunId))
            {
                throw new DistTuneException(FaultKind.Configuration, $"There is a run '{run.Plan.RunId}' already; give the new one another run id.");
            }

            _runs = _runs.Add(run);
        }

        return run;
    }

    /// <summary>Finds a run.</summary>
    /// <exception cref="DistTuneException">There is none of that id.</exception>
    public RunExecution Find(string runId) =>
        _runs.Find(run => run.Plan.RunId == runId)
        ?? throw new DistTuneException(FaultKind.Stale, $"There is no run '{runId}' here; there is {string.Join(", ", _runs.Select(run => $"'{run.Plan.RunId}'"))}.");

    /// <summary>Finds a worker that is registered.</summary>
    /// <exception cref="DistTuneException">It is not, or no longer.</exception>
    public WorkerSession FindWorker(string sessionId) =>
        _sessions.GetValueOrDefault(sessionId)
        ?? throw new DistTuneException(FaultKind.Stale, $"The session '{sessionId}' is not registered (any more); register again.");

    /// <summary>Takes a worker out and gives its groups out again at once. Doing it twice does nothing.</summary>
    public void Leave(WorkerSession worker, string reason)
    {
        ArgumentNullException.ThrowIfNull(worker);
        lock (_gate)
        {
            if (worker.Gone)
            {
                return;
            }

            worker.Gone = true;
            _sessions = _sessions.Remove(worker.Id);
        }

        foreach (var run in RunsFor(worker))
        {
            run.ReleaseWorker(worker, reason, PresentWorkers);
        }
    }

    /// <summary>No more groups for this worker; what it holds may be finished.</summary>
    public void Drain(WorkerSession worker)
    {
        ArgumentNullException.ThrowIfNull(worker);
        worker.Draining = true;
        _workAppeared.Raise();
    }

    /// <summary>No more groups for anyone: workers are told to leave.</summary>
    public void DrainAll()
    {
        Volatile.Write(ref _draining, true);
        _workAppeared.Raise();
    }

    /// <summary>Leases groups without waiting.</summary>
    public PullAnswer TryPull(WorkerSession worker, int slots)
    {
        ArgumentNullException.ThrowIfNull(worker);
        RequireThere(worker);
        var grants = new List<Grant>();
        if (worker.Present && !worker.Draining && !Volatile.Read(ref _draining))
        {
            foreach (var run in RunsFor(worker))
            {
                while (grants.Count < Math.Min(slots, worker.Slots) && run.TryGrant(worker) is { } grant)
                {
                    grants.Add(grant);
                }
            }
        }

        return new PullAnswer(grants, worker.Draining || Volatile.Read(ref _draining));
    }

    /// <summary>Leases groups; waits for some to appear.</summary>
    public async Task<PullAnswer> PullAsync(WorkerSession worker, int slots, TimeSpan wait, CancellationToken cancellationToken)
    {
        var started = _time.GetTimestamp();
        while (true)
        {
            var appeared = _workAppeared.Next;
            var answer = TryPull(worker, slots);
            var left = wait - _time.GetElapsedTime(started);
            if (answer.Grants.Count > 0 || answer.Drain || left <= TimeSpan.Zero)
            {
                return answer;
            }

            try
            {
                await appeared.WaitAsync(left, _time, cancellationToken).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                return TryPull(worker, slots);
            }
        }
    }

    /// <summary>Renews the lease of a group that makes progress.</summary>
    public void Progress(GrantReference reference)
    {
        ArgumentNullException.ThrowIfNull(reference);
        Find(reference.RunId).Progress(reference);
    }

    /// <summary>Starts to take a training group's gradient, or says why it is not wanted.</summary>
    public (GradientUpload? Upload, SubmitVerdict Refusal) BeginUpload(WorkerSession worker, GrantReference reference)
    {
        ArgumentNullException.ThrowIfNull(worker);
        ArgumentNullException.ThrowIfNull(reference);
        return Find(reference.RunId).BeginUpload(worker, reference);
    }

    /// <summary>
    /// Says what is here of a result whose worker lost its connection. If it is still wanted, the worker's new session gets a lease, as
    /// if the group had been granted to it; term and attempt of the reference don't count.
    /// </summary>
    public UploadAnswer QueryUpload(WorkerSession worker, GrantReference reference)
    {
        ArgumentNullException.ThrowIfNull(worker);
        ArgumentNullException.ThrowIfNull(reference);
        return Find(reference.RunId).QueryUpload(worker, reference);
    }

    /// <summary>Goes on with an upload that was half sent, or says why there is none.</summary>
    public (GradientUpload? Upload, SubmitVerdict Refusal) ResumeUpload(WorkerSession worker, GrantReference reference)
    {
        ArgumentNullException.ThrowIfNull(worker);
        ArgumentNullException.ThrowIfNull(reference);
        return Find(reference.RunId).ResumeUpload(worker, reference);
    }

    /// <summary>Keeps an upload whose connection was lost until its worker is back, for a lease's duration at most.</summary>
    public void KeepHalfSent(WorkerSession worker, GrantReference reference, GradientUpload upload)
    {
        ArgumentNullException.ThrowIfNull(worker);
        ArgumentNullException.ThrowIfNull(reference);
        ArgumentNullException.ThrowIfNull(upload);
        Find(reference.RunId).KeepHalfSent(worker, reference, upload);
    }

    /// <summary>Whether a grant's lease still runs.</summary>
    public bool IsLeased(GrantReference reference)
    {
        ArgumentNullException.ThrowIfNull(reference);
        return Find(reference.RunId).IsLeased(reference);
    }

    /// <summary>Takes a result (see <see cref="SubmitStatus"/>). Dispose of <paramref name="upload"/> afterwards, whatever the answer.</summary>
    /// <param name="worker">Who computed it.</param>
    /// <param name="reference">The grant.</param>
    /// <param name="outcome">Sums and counts.</param>
    /// <param name="upload">The gradient; null for groups without one.</param>
    /// <param name="gradientSha256">The hash the worker sent, or null where there was no wire between.</param>
    public SubmitVerdict Submit(WorkerSession worker, GrantReference reference, GroupOutcome outcome, GradientUpload? upload, string? gradientSha256)
    {
        ArgumentNullException.ThrowIfNull(worker);
        ArgumentNullException.ThrowIfNull(reference);
        ArgumentNullException.ThrowIfNull(outcome);
        return Find(reference.RunId).Submit(worker, reference, outcome, upload, gradientSha256);
    }

    /// <summary>Takes a group back that a worker could not compute. Repeated failures of one group fail the run.</summary>
    public void ReportFailure(WorkerSession worker, GrantReference reference, string reason)
    {
        ArgumentNullException.ThrowIfNull(worker);
        ArgumentNullException.ThrowIfNull(reference);
        Find(reference.RunId).Reject(worker, reference, reason);
    }

    /// <summary>Stops the sweep for expired leases.</summary>
    public void Dispose() => _sweeper.Dispose();

    private int PresentWorkers => _sessions.Values.Count(session => session.Present);

    private static void RequireThere(WorkerSession worker)
    {
        if (worker.Gone)
        {
            throw new DistTuneException(FaultKind.Stale, $"Worker {worker.Name} has left; register again.");
        }
    }

    private IEnumerable<RunExecution> RunsFor(WorkerSession worker) => RunsOver(worker.Fingerprint);

    private IEnumerable<RunExecution> RunsOver(WorkerFingerprint fingerprint) => _runs.Where(run => run.Plan.Hashes.Base == fingerprint.BaseSha256);

    private void Sweep()
    {
        foreach (var worker in _sessions.Values.Where(worker => !worker.Present && _time.GetElapsedTime(worker.Registered) >= _options.SessionOpensWithin))
        {
            Leave(worker, string.Create(CultureInfo.InvariantCulture, $"it opened no session within {_options.SessionOpensWithin.TotalSeconds:0.#} s"));
        }

        foreach (var run in _runs)
        {
            run.Sweep();
        }
    }
}
