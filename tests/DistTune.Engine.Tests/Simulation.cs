using DistTune.Core.Training;
using Microsoft.Extensions.Time.Testing;

namespace DistTune.Engine.Tests;

/// <summary>
/// A cluster without threads: a seeded random schedule of pulls, results, deaths, delays and duplicates drives the registry, with a
/// clock that only the schedule moves.
/// </summary>
internal sealed class Simulation : IDisposable
{
    private readonly Random _random;
    private readonly FakeTimeProvider _time = new();
    private readonly RunRegistry _registry;
    private readonly List<(WorkerSession Session, List<Grant> Held)> _workers = [];
    private readonly List<(WorkerSession Session, Grant Grant)> _late = [];
    private int _named;

    public Simulation(int seed, params RunPlan[] plans)
    {
        _random = new Random(seed);
        var options = new EngineOptions { LeaseDuration = TimeSpan.FromSeconds(10), BackupAfter = TimeSpan.FromSeconds(4) };
        _registry = new RunRegistry(options, _time);
        foreach (var plan in plans)
        {
            _registry.Add(plan, FakePlan.Initial(plan), Journal, Observer);
        }
    }

    public InMemoryRunJournal Journal { get; } = new();

    public RecordingObserver Observer { get; } = new();

    public IReadOnlyList<RunExecution> Runs => _registry.Runs;

    /// <summary>Runs until every run has ended.</summary>
    public void Run(int workers, double faults)
    {
        for (var i = 0; i < workers; i++)
        {
            Join();
        }

        for (var action = 0; _registry.Runs.Any(run => !run.Run.Ended); action++)
        {
            Assert.True(action < 100_000, "The runs make no progress.");
            foreach (var run in _registry.Runs)
            {
                run.Advance();
            }

            if (_random.NextDouble() < faults)
            {
                Disturb();
            }
            else
            {
                Work();
            }
        }
    }

    public void Dispose() => _registry.Dispose();

    private void Join() =>
        _workers.Add((_registry.Register($"w{_named}", _named++, 3, FakePlan.Fingerprint()), []));

    private void Work()
    {
        var (session, held) = _workers[_random.Next(_workers.Count)];
        if (held.Count == 0 || _random.Next(2) == 0)
        {
            held.AddRange(_registry.TryPull(session, _random.Next(1, 4)).Grants);
        }
        else
        {
            var grant = held[_random.Next(held.Count)];
            held.Remove(grant);
            Submit(session, grant);
            if (_random.Next(4) == 0)
            {
                _late.Add((session, grant));
            }
        }

        _time.Advance(TimeSpan.FromMilliseconds(_random.Next(200)));
    }

    private void Disturb()
    {
        switch (_random.Next(5))
        {
            case 0: // killed: its results never come
                var killed = _workers[_random.Next(_workers.Count)];
                _workers.Remove(killed);
                _registry.Leave(killed.Session, "killed");
                Join();
                break;
            case 1: // stopped for a while, results come after the leases ran out
                var stopped = _workers[_random.Next(_workers.Count)];
                _late.AddRange(stopped.Held.Select(grant => (stopped.Session, grant)));
                stopped.Held.Clear();
                break;
            case 2: // late and duplicate results
                foreach (var (session, grant) in _late.Where(late => !late.Session.Gone))
                {
                    Submit(session, grant);
                }

                _late.Clear();
                break;
            case 3:
                _time.Advance(TimeSpan.FromSeconds(_random.Next(15)));
                break;
            default:
                Join();
                break;
        }
    }

    private void Submit(WorkerSession session, Grant grant)
    {
        var reference = GrantReference.To(grant);
        var run = _registry.Find(grant.Group.RunId);
        GradientUpload? upload = null;
        if (grant.Group.Kind == GroupKind.Train)
        {
            (upload, _) = _registry.BeginUpload(session, reference);
            if (upload is null)
            {
                return;
            }
        }

        using (upload)
        {
            var outcome = FakeComputer.Compute(grant.Group, run.Adapter, run.Plan.Layout, (offset, part) => Assert.Null(upload!.Write(offset, part)));
            _registry.Submit(session, reference, outcome, upload, null);
        }
    }
}
