using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>The doing side of an open stage: who holds which group until when. Not thread-safe; the run's gate guards it.</summary>
internal sealed class StageWork
{
    private const int LeasesPerGroup = 2;

    // Clearly sooner: what is less is within the error of the estimate.
    private const double ClearlySooner = 0.9;
    private static readonly TimeSpan LeastGain = TimeSpan.FromMilliseconds(250);
    private readonly Dictionary<GroupKey, GroupWork> _groups;
    private readonly ImmutableArray<GroupWork> _order;
    private readonly TimeProvider _time;
    private readonly EngineOptions _options;
    private readonly WorkerPaces _paces;
    private readonly Dictionary<WorkerSession, TimeSpan> _waits = [];
    private long? _heldBack;

    public StageWork(ImmutableArray<GroupSpec> groups, WorkerPaces paces, TimeProvider time, EngineOptions options)
    {
        _paces = paces;
        _time = time;
        _options = options;
        _order = [.. groups.Select(group => new GroupWork(group))];
        _groups = _order.ToDictionary(work => GroupKey.Of(work.Spec));
        Opened = time.GetTimestamp();
    }

    /// <summary>A group with its leases and its past.</summary>
    internal sealed class GroupWork(GroupSpec spec)
    {
        public GroupSpec Spec { get; } = spec;

        public List<Lease> Leases { get; } = [];

        /// <summary>Whom the group was granted to, attempt by attempt.</summary>
        public List<string> Holders { get; } = [];

        public int Failures { get; set; }

        public GroupReport? Report { get; set; }

        /// <summary>Workers that had their try: others come first.</summary>
        public HashSet<string> Tried { get; } = new(StringComparer.Ordinal);

        public bool Done { get; set; }

        /// <summary>Whether an attempt was granted to a worker, be its lease over or not.</summary>
        public bool WasGranted(string worker, int attempt) => attempt >= 1 && attempt <= Holders.Count && Holders[attempt - 1] == worker;
    }

    public long Opened { get; }

    /// <summary>Time that the lanes of the worker that waited longest waited for their results to be durable.</summary>
    public TimeSpan LongestWait => _waits.Count == 0 ? TimeSpan.Zero : _waits.Max(wait => wait.Value / Math.Max(1, wait.Key.Slots));

    /// <summary>A worker's lane waited so long for its result to be durable.</summary>
    public void Waited(WorkerSession worker, TimeSpan time) => _waits[worker] = _waits.GetValueOrDefault(worker) + time;

    public IEnumerable<GroupReport> Reports => _order.Select(work => work.Report).OfType<GroupReport>();

    public GroupWork? Find(GroupKey key) => _groups.GetValueOrDefault(key);

    /// <summary>
    /// Leases the next group: one that nobody holds, in plan order, unless the others are expected to be done with all of them clearly
    /// sooner than this worker with one; failing that, a second copy of the most overdue one.
    /// </summary>
    /// <param name="worker">Who asks.</param>
    /// <param name="workers">All workers that take part.</param>
    /// <param name="isFor">Whether a worker may have a group.</param>
    public (GroupWork Work, Lease Lease)? TryLease(WorkerSession worker, IReadOnlyList<WorkerSession> workers, Func<WorkerSession, GroupWork, bool> isFor)
    {
        var now = _time.GetTimestamp();
        var work = Waiting.FirstOrDefault(group => isFor(worker, group));
        if (work is not null && !HoldsBack(worker, work, workers, isFor, now))
        {
            _heldBack = null;
        }
        else
        {
            work = _order.Where(group => IsOverdue(group, now) && isFor(worker, group) && IsSooner(worker, group, now)).MinBy(group => group.Leases[0].Started);
        }

        if (work is null)
        {
            return null;
        }

        return (work, Lease(work, worker));
    }

    /// <summary>Leases a group to the worker that has its result and lost its connection; what its earlier session held is void.</summary>
    public Lease Claim(GroupWork work, WorkerSession worker)
    {
        work.Leases.RemoveAll(lease => lease.Worker.Name == worker.Name);
        return Lease(work, worker);
    }

    /// <summary>Whether an idle worker that was given nothing should ask again: for a second copy, or because an estimate may have failed.</summary>
    public bool IsWorthAsking()
    {
        var now = _time.GetTimestamp();
        return (_heldBack is not null && Waiting.Any()) || _order.Any(group => IsOverdue(group, now));
    }

    /// <summary>A worker that had no group of this stage was not measured.</summary>
    public void DoubtIdle(IEnumerable<WorkerSession> workers)
    {
        var busy = Reports.Select(report => report.Worker).ToHashSet(StringComparer.Ordinal);
        foreach (var worker in workers.Where(worker => !busy.Contains(worker.Name)))
        {
            foreach (var kind in _order.Select(work => work.Spec.Kind).Distinct())
            {
                _paces.Doubt(worker.Name, kind);
            }
        }
    }

    public void Renew(GroupWork work, int attempt)
    {
        if (work.Leases.Find(lease => lease.Attempt == attempt) is { } lease)
        {
            lease.Renewed = _time.GetTimestamp();
        }
    }

    /// <summary>Drops one lease of a group, if it is still held.</summary>
    public Lease? Release(GroupWork work, int attempt)
    {
        var index = work.Leases.FindIndex(lease => lease.Attempt == attempt);
        if (index < 0)
        {
            return null;
        }

        var lease = work.Leases[index];
        work.Leases.RemoveAt(index);
        return lease;
    }

    /// <summary>Drops all leases of a worker and says which groups they were on.</summary>
    public List<GroupWork> ReleaseAll(WorkerSession worker) =>
        [.. _order.Where(work => work.Leases.RemoveAll(lease => lease.Worker == worker) > 0 && !work.Done)];

    /// <summary>Drops the leases that saw no progress for too long.</summary>
    public List<(GroupWork Work, Lease Lease)> ReleaseExpired()
    {
        var now = _time.GetTimestamp();
        var expired = new List<(GroupWork, Lease)>();
        foreach (var work in _order)
        {
            foreach (var lease in work.Leases.FindAll(lease => _time.GetElapsedTime(lease.Renewed, now) >= _options.LeaseDuration))
            {
                work.Leases.Remove(lease);
                expired.Add((work, lease));
            }
        }

        return expired;
    }

    /// <summary>Marks a group done and tells its other holders to stop.</summary>
    public void Finish(GroupWork work, WorkerSession worker, int attempt, GroupOutcome outcome)
    {
        var started = work.Leases.Find(lease => lease.Attempt == attempt)?.Started;
        var taken = _time.GetElapsedTime(started ?? Opened);
        if (started is not null)
        {
            _paces.Measure(worker.Name, work.Spec, taken);
        }

        work.Report = new GroupReport(worker.Name, worker.Rank, outcome.TrainedTokens, outcome.TotalTokens, taken.TotalSeconds, outcome.Timings);
        work.Done = true;
        foreach (var lease in work.Leases)
        {
            if (lease.Attempt != attempt)
            {
                lease.Revoke();
            }
        }

        work.Leases.Clear();
    }

    /// <summary>Tells every holder to stop.</summary>
    public void RevokeAll()
    {
        foreach (var lease in _order.SelectMany(work => work.Leases))
        {
            lease.Revoke();
        }
    }

    private Lease Lease(GroupWork work, WorkerSession worker)
    {
        work.Holders.Add(worker.Name);
        var lease = new Lease(worker, work.Holders.Count, _time.GetTimestamp());
        work.Leases.Add(lease);
        return lease;
    }

    private IEnumerable<GroupWork> Waiting => _order.Where(group => !group.Done && group.Leases.Count == 0);

    // At a stage's end all would wait for a slow worker's last group. It gets none that the others' lanes are expected to be done with
    // sooner; if for as long as it would have needed itself nobody took any, the estimate was wrong.
    private bool HoldsBack(WorkerSession worker, GroupWork work, IReadOnlyList<WorkerSession> workers, Func<WorkerSession, GroupWork, bool> isFor, long now)
    {
        if (_paces.Of(worker.Name, work.Spec) is not { } own || own <= LeastGain)
        {
            return false;
        }

        var held = _order.SelectMany(group => group.Leases, (group, lease) => (group, lease)).ToLookup(pair => pair.lease.Worker);
        var forecast = new StageForecast(_paces, _time, now);
        foreach (var other in workers.Where(other => other != worker && !other.Draining))
        {
            forecast.Add(other, held[other]);
        }

        var clearly = ClearlySooner * own;
        if (!forecast.Finishes(Waiting, clearly < own - LeastGain ? clearly : own - LeastGain, isFor))
        {
            return false;
        }

        _heldBack ??= now;
        return _time.GetElapsedTime(_heldBack.Value, now) < own;
    }

    // Nobody knows how long an overdue group will still take. Taken to need as long again, it is worth a copy to those who need less.
    private bool IsSooner(WorkerSession worker, GroupWork work, long now) =>
        work.Leases.All(lease => lease.Worker != worker) && !(_paces.Of(worker.Name, work.Spec) > _time.GetElapsedTime(work.Leases[0].Started, now));

    // Overdue against what its worker usually needs, so that a slow last group doesn't hold up a step for a whole lease.
    private bool IsOverdue(GroupWork work, long now)
    {
        if (work.Done || work.Leases.Count is 0 or >= LeasesPerGroup)
        {
            return false;
        }

        var limit = 2 * (_paces.Expect(work.Leases[0].Worker.Name, work.Spec) ?? TimeSpan.Zero);
        return _time.GetElapsedTime(work.Leases[0].Started, now) >= (limit > _options.BackupAfter ? limit : _options.BackupAfter);
    }
}
