using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>The doing side of an open stage: who holds which group until when. Not thread-safe; the run's gate guards it.</summary>
internal sealed class StageWork
{
    private const int LeasesPerGroup = 2;
    private readonly Dictionary<GroupKey, GroupWork> _groups;
    private readonly ImmutableArray<GroupWork> _order;
    private readonly TimeProvider _time;
    private readonly EngineOptions _options;
    private readonly Dictionary<WorkerSession, TimeSpan> _waits = [];

    public StageWork(ImmutableArray<GroupSpec> groups, TimeProvider time, EngineOptions options)
    {
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

    /// <summary>The slowest group so far, from grant to result.</summary>
    public TimeSpan Slowest { get; private set; }

    public IEnumerable<GroupReport> Reports => _order.Select(work => work.Report).OfType<GroupReport>();

    public GroupWork? Find(GroupKey key) => _groups.GetValueOrDefault(key);

    /// <summary>Leases the next group: one that nobody holds, in plan order; failing that, a second copy of the most overdue one.</summary>
    public (GroupWork Work, Lease Lease)? TryLease(WorkerSession worker, TimeSpan usual, Func<GroupWork, bool> isFor)
    {
        var now = _time.GetTimestamp();
        var work = _order.FirstOrDefault(group => !group.Done && group.Leases.Count == 0 && isFor(group))
            ?? _order.Where(group => isFor(group) && IsOverdue(group, now, usual) && group.Leases.All(lease => lease.Worker != worker))
                .MinBy(group => group.Leases[0].Started);
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

    /// <summary>Whether an idle worker could take a second copy of a group.</summary>
    public bool HasOverdue(TimeSpan usual)
    {
        var now = _time.GetTimestamp();
        return _order.Any(group => IsOverdue(group, now, usual));
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
        Slowest = taken > Slowest ? taken : Slowest;
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

    // Overdue against what such a group usually takes, so that a slow last group doesn't hold up a step for a whole lease.
    private bool IsOverdue(GroupWork work, long now, TimeSpan usual)
    {
        if (work.Done || work.Leases.Count is 0 or >= LeasesPerGroup)
        {
            return false;
        }

        var limit = 2 * (usual > Slowest ? usual : Slowest);
        return _time.GetElapsedTime(work.Leases[0].Started, now) >= (limit > _options.BackupAfter ? limit : _options.BackupAfter);
    }
}
