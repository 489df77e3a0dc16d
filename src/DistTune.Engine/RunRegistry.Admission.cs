using System.Globalization;
using DistTune.Core;

namespace DistTune.Engine;

/// <content>Who may join: whoever comes to the same bits and is trusted, and from when on it counts.</content>
public sealed partial class RunRegistry
{
    /// <summary>Takes note of a worker that is about to load the base, so that the run's end waits for it. Too many are not kept.</summary>
    public void Announce(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        lock (_gate)
        {
            if (_announced.Count < MostAnnounced && !_sessions.Values.Any(session => session.Name == name))
            {
                _announced = _announced.Add(name);
            }
        }
    }

    /// <summary>Takes a worker in.</summary>
    /// <param name="name">The worker's own name.</param>
    /// <param name="rank">A label in metrics.</param>
    /// <param name="slots">How many groups it computes at a time.</param>
    /// <param name="fingerprint">What it computes with.</param>
    /// <param name="opensSession">Whether it opens a session of its own (<see cref="Open"/>) and counts only from then on.</param>
    /// <exception cref="DistTuneException">Its results would not be the same bits as those of the others; the message says why.</exception>
    public WorkerSession Register(string name, int rank, int slots, WorkerFingerprint fingerprint, bool opensSession = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(fingerprint);
        ArgumentOutOfRangeException.ThrowIfLessThan(slots, 1);
        WorkerSession session;
        lock (_gate)
        {
            // Whether it is taken or not: it is not on its way any more.
            _announced = _announced.Remove(name);
            RequireSameResults(name, fingerprint);
            RequireTrusted(name);
            RequireSameCanaries(name, fingerprint);
            _fingerprint ??= fingerprint;
            session = new WorkerSession(string.Create(CultureInfo.InvariantCulture, $"{Term}-{++_registrations}"), name, rank, slots, fingerprint)
            {
                Registered = _time.GetTimestamp(),
            };
            _sessions = _sessions.Add(session.Id, session);
        }

        if (!opensSession)
        {
            Open(session);
        }

        return session;
    }

    /// <summary>The worker takes part from now on: its session is open. Doing it twice does nothing.</summary>
    /// <exception cref="DistTuneException">It has left, or its registration has expired.</exception>
    public void Open(WorkerSession worker)
    {
        ArgumentNullException.ThrowIfNull(worker);
        lock (_gate)
        {
            RequireThere(worker);
            if (worker.Present)
            {
                return;
            }

            worker.Present = true;
        }

        foreach (var run in RunsFor(worker))
        {
            run.Observe(new WorkerJoined(run.Plan.RunId, worker.Name, worker.Rank, worker.Slots, PresentWorkers));
            run.Wake();
        }

        _workAppeared.Raise();
    }

    private void RequireSameResults(string name, WorkerFingerprint fingerprint)
    {
        if (!_runs.Exists(run => run.Plan.Hashes.Base == fingerprint.BaseSha256))
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"Worker {name} holds the base {fingerprint.BaseSha256}, no run here is over it; expected " +
                $"{string.Join(" or ", _runs.Select(run => run.Plan.Hashes.Base).Distinct())}. Point the worker at the run's base_model.");
        }

        var expected = (_fingerprint ?? fingerprint) with { ProductVersion = WorkerFingerprint.ThisVersion };
        var bfloat16 = RunsOver(fingerprint).Any(run => run.Plan.BaseInBFloat16);
        if (fingerprint.DifferenceFrom(expected with { BaseSha256 = fingerprint.BaseSha256 }, bfloat16) is { } difference)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"Worker {name} may not join, because its results would not be the same bits: its {difference}. Use workers of one kind.");
        }
    }

    private void RequireSameCanaries(string name, WorkerFingerprint fingerprint)
    {
        foreach (var run in RunsOver(fingerprint))
        {
            if (run.CanaryFault(fingerprint) is { } fault)
            {
                throw new DistTuneException(FaultKind.Configuration, $"Worker {name} may not join, because its results would not be the same bits: {fault}");
            }
        }

        // Only when it may join for every run: a worker that is refused leaves nothing behind.
        foreach (var run in RunsOver(fingerprint))
        {
            run.KeepCanary(name, fingerprint);
        }
    }

    private void RequireTrusted(string name)
    {
        if (_runs.Find(run => run.Run.Quarantined.Contains(name)) is { } run)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"Worker {name} was shut out of run {run.Plan.RunId}, because its results were wrong; `disttune inspect run` says which. Check the machine's memory and processor, and join under another name.");
        }
    }
}
