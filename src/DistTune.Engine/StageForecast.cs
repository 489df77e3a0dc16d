namespace DistTune.Engine;

/// <summary>When the lanes of a stage's workers are expected to be free: who would finish the groups that nobody holds, and when.</summary>
internal sealed class StageForecast(WorkerPaces paces, TimeProvider time, long now)
{
    private readonly List<(WorkerSession Worker, TimeSpan FreeIn)> _lanes = [];

    /// <summary>Takes a worker's lanes in: those that hold a group of the stage, and those that hold none.</summary>
    public void Add(WorkerSession worker, IEnumerable<(StageWork.GroupWork Work, Lease Lease)> held)
    {
        var busy = 0;
        foreach (var (work, lease) in held)
        {
            busy++;
            var elapsed = time.GetElapsedTime(lease.Started, now);

            // One that is late is taken to need as long again as it is late; one that is overdue is not counted on.
            if (paces.Of(worker.Name, work.Spec) is { } expected && elapsed < 2 * expected)
            {
                _lanes.Add((worker, (expected - elapsed).Duration()));
            }
        }

        _lanes.AddRange(Enumerable.Repeat((worker, TimeSpan.Zero), Math.Max(0, worker.Slots - busy)));
    }

    /// <summary>Whether all these groups are expected to be finished within a time, each by the lane that gets done with it first.</summary>
    public bool Finishes(IEnumerable<StageWork.GroupWork> groups, TimeSpan within, Func<WorkerSession, StageWork.GroupWork, bool> isFor)
    {
        foreach (var group in groups)
        {
            var (best, finish) = (-1, within);
            for (var lane = 0; lane < _lanes.Count; lane++)
            {
                var (worker, freeIn) = _lanes[lane];
                if (paces.Of(worker.Name, group.Spec) is { } taken && freeIn + taken <= finish && isFor(worker, group))
                {
                    (best, finish) = (lane, freeIn + taken);
                }
            }

            if (best < 0)
            {
                return false;
            }

            _lanes[best] = (_lanes[best].Worker, finish);
        }

        return true;
    }
}
