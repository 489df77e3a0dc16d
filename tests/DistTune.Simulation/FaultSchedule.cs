using System.Globalization;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Storage;
using DistTune.Engine.Tests;
using Microsoft.Extensions.Time.Testing;

namespace DistTune.Simulation;

/// <summary>The product did what it must never do.</summary>
internal sealed class PropertyViolatedException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// One run of a whole cluster without threads, drawn from a seed: workers that pull, compute, die, hang, come late and send twice; a
/// coordinator that is killed at any operation of its disk, loses power, finds the disk full or broken, or is replaced while it still
/// lives. Time moves only when the schedule says so.
/// </summary>
internal sealed class FaultSchedule
{
    private const int MostActions = 20_000;
    private const int MostRestarts = 8;
    private static readonly RunStoreOptions Keeping = new() { SaveSteps = 2, SaveTotalLimit = 2 };
    private static readonly EngineOptions Options = new() { LeaseDuration = TimeSpan.FromSeconds(10), BackupAfter = TimeSpan.FromSeconds(4) };
    private readonly EngineOptions _options;
    private readonly Random _random;
    private readonly SimulatedDisk _disk;
    private readonly PlantedBug _bug;
    private readonly RunPlan _plan;
    private readonly AdapterVersion _initial;
    private readonly FakeTimeProvider _time = new();
    private readonly List<(string Worker, Grant Grant)> _late = [];
    private readonly Dictionary<GroupKey, string> _acknowledged = [];
    private readonly Dictionary<string, int> _published = new(StringComparer.Ordinal);
    private readonly int _workers;
    private Coordinator? _current;
    private Coordinator? _stale;
    private long _highestTerm;
    private int _restarts;

    private FaultSchedule(int seed, PlantedBug bug)
    {
        // All gradients outside of memory, some, or none.
        _options = Options with { VectorsInMemory = (seed % 3) switch { 0 => 0, 1 => 2, _ => Options.VectorsInMemory } };
        _random = new Random(seed);
        _disk = new SimulatedDisk(_random);
        _bug = bug;
        _plan = Plan();
        _initial = FakePlan.Initial(_plan);
        _workers = _random.Next(1, 5);
    }

    /// <summary>What the run comes to without faults.</summary>
    public static string ExpectedAdapter { get; } = Undisturbed();

    /// <summary>Runs a schedule.</summary>
    /// <exception cref="PropertyViolatedException">The message says what was violated and how to see it again.</exception>
    public static void Run(int seed, PlantedBug bug = PlantedBug.None)
    {
        try
        {
            new FaultSchedule(seed, bug).Run();
        }
        catch (Exception fault) when (fault is not PropertyViolatedException { InnerException: not null })
        {
            throw new PropertyViolatedException(string.Create(
                CultureInfo.InvariantCulture, $"Seed {seed}: {fault.Message} See it again: DistTune.Simulation --seed {seed}{(bug == PlantedBug.None ? "" : $" --bug {bug}")}"), fault);
        }
    }

    private static RunPlan Plan() => FakePlan.Create(groups: 3, steps: 5, source: new FakePlan(3, prompts: 1, heldOut: 1));

    private static string Undisturbed()
    {
        var plan = Plan();
        var computer = new FakeComputer(plan.Layout);
        return InProcessTraining.RunAsync(plan, FakePlan.Initial(plan), [computer], new CompositeRunObserver(), TimeProvider.System, CancellationToken.None)
            .GetAwaiter().GetResult().Adapter.Sha256;
    }

    private void Run()
    {
        for (var action = 0; _current is not { Run.Run.State: RunState.Finished }; action++)
        {
            Require(action < MostActions, "the run makes no progress");
            try
            {
                _current ??= Open(locksFail: false);
                Act(_current);
            }
            catch (SimulatedCrashException)
            {
                Restart(cutPower: _random.Next(2) == 0);
            }
            catch (RunStorageException)
            {
                // The coordinator could not even open the run; whoever supervises it tries again.
                Restart(cutPower: false);
            }
        }

        Require(_current.Run.Run.AdapterSha256 == ExpectedAdapter, $"the adapter is {_current.Run.Run.AdapterSha256[..12]}, without faults it is {ExpectedAdapter[..12]}");
        Require(_current.Run.Run.Steps.Count == _plan.Steps, "steps are missing");
    }

    private void Act(Coordinator coordinator)
    {
        coordinator.Run.Advance();
        if (coordinator.Run.Suspension is { } fault)
        {
            // With its locks in order nobody else can have written.
            Require(!fault.Superseded, "a coordinator was superseded by nobody");
            Restart(cutPower: _random.Next(4) == 0);
            return;
        }

        Require(coordinator.Run.Run.State != RunState.Failed, $"the run failed: {coordinator.Run.Run.Failure}");
        Publish(coordinator.Run);
        switch (_random.Next(24))
        {
            case 0 when _restarts < MostRestarts:
                coordinator.Disk.Kill();
                Restart(cutPower: _random.Next(2) == 0);
                return;
            case 1 when _restarts < MostRestarts && _stale is null:
                Supersede(coordinator);
                return;
            case 2:
                coordinator.LoseWorker(_random);
                return;
            case 3: // hangs: what it holds comes late, after its lease
                _late.AddRange(coordinator.TakeHeld(_random));
                return;
            case 4:
                SendLate(coordinator);
                return;
            case 5:
                _time.Advance(TimeSpan.FromSeconds(_random.Next(15)));
                return;
            case 7 when coordinator.Workers.Count >= 3:
                Lie(coordinator);
                return;
            case 6 when _stale is { } stale:
                DisturbFrom(stale);
                return;
            default:
                Work(coordinator);
                return;
        }
    }

    private void Work(Coordinator coordinator)
    {
        var (session, held) = coordinator.Workers[_random.Next(coordinator.Workers.Count)];
        if (held.Count == 0 || _random.Next(3) == 0)
        {
            held.AddRange(coordinator.Registry.TryPull(session, _random.Next(1, 3)).Grants);
        }
        else
        {
            var grant = held[_random.Next(held.Count)];
            held.Remove(grant);
            Submit(coordinator, session, grant);
            if (_random.Next(4) == 0)
            {
                _late.Add((session.Name, grant));
            }
        }

        _time.Advance(TimeSpan.FromMilliseconds(_random.Next(200)));
    }

    private void SendLate(Coordinator coordinator)
    {
        foreach (var (name, grant) in _late)
        {
            if (coordinator.Find(name) is { } session)
            {
                Submit(coordinator, session, grant);
            }
        }

        _late.Clear();
    }

    // A second result of a group that is done, and a wrong one: a third worker must decide, and whoever lied is shut out.
    private void Lie(Coordinator coordinator)
    {
        var run = coordinator.Run.Run;
        foreach (var (name, grant) in _late.Where(late => late.Grant.Term == run.Term && run.Stage?.Done.ContainsKey(late.Grant.Key) == true))
        {
            if (coordinator.Find(name) is not { } liar)
            {
                continue;
            }

            var reference = GrantReference.To(grant);
            using var upload = grant.Group.Kind == GroupKind.Train ? coordinator.Registry.BeginUpload(liar, reference).Upload : null;
            if (coordinator.Run.Adapter.Sha256 != grant.AdapterSha256)
            {
                return;
            }

            var outcome = FakeComputer.Compute(grant.Group, coordinator.Run.Adapter, _plan.Layout, (offset, part) => upload!.Write(offset, part));
            _acknowledged.Remove(grant.Key);
            outcome = grant.Group.Kind == GroupKind.Generate ? outcome with { Continuations = [[1]] } : outcome with { LossSum = outcome.LossSum + 1 };
            var verdict = coordinator.Registry.Submit(liar, reference, outcome, upload, null);
            Require(verdict.Status != SubmitStatus.Accepted, "a lie was accepted");
            break;
        }

        coordinator.ReplaceGone();
    }

    private void Submit(Coordinator coordinator, WorkerSession session, Grant grant)
    {
        var reference = GrantReference.To(grant);
        var wasDone = coordinator.Run.Run.Stage?.Done.ContainsKey(grant.Key) == true;
        GradientUpload? upload = null;
        if (grant.Group.Kind == GroupKind.Train)
        {
            (upload, _) = coordinator.Registry.BeginUpload(session, reference);
            if (upload is null)
            {
                return;
            }
        }

        using (upload)
        {
            var adapter = coordinator.Run.Adapter;
            if (adapter.Sha256 != grant.AdapterSha256)
            {
                return;
            }

            var outcome = FakeComputer.Compute(grant.Group, adapter, _plan.Layout, (offset, part) => upload!.Write(offset, part));
            var verdict = coordinator.Registry.Submit(session, reference, outcome, upload, null);
            Require(verdict.Status is not (SubmitStatus.Fatal or SubmitStatus.Invalid), verdict.Reason);
            Require(verdict.Status != SubmitStatus.Accepted || !wasDone, $"the {grant.Key} was accepted twice");
            RequireAcknowledged(coordinator.Run.Run);
            coordinator.ReplaceGone();
            if (verdict.Status == SubmitStatus.Accepted)
            {
                Require(_acknowledged.TryAdd(grant.Key, session.Name), $"the {grant.Key} had been acknowledged and was computed again");
            }
        }
    }

    private void Publish(RunExecution run)
    {
        // A version that a worker has seen stays the version of its step, whatever happens to the coordinator.
        var steps = run.Run.Steps.Count;
        foreach (var (sha256, step) in _published)
        {
            Require(step <= steps, $"step {step} was published and is lost; the run stands at {steps}");
            Require(step == 0 || run.Run.Steps[step - 1].AdapterSha256 == sha256, $"step {step} has another adapter than was published");
        }

        _published[run.Adapter.Sha256] = steps;
        RequireAcknowledged(run.Run);
    }

    private void RequireAcknowledged(TrainingRun run)
    {
        foreach (var (key, worker) in _acknowledged.Where(pair => run.Stage is { } stage && stage.Groups.Contains(pair.Key) && !stage.Done.ContainsKey(pair.Key)).ToList())
        {
            // Only what a worker computed that was shut out is given up.
            Require(run.Quarantined.Contains(worker), $"the {key} had been acknowledged and is lost");
            _acknowledged.Remove(key);
        }
    }

    // Where locks fail, a second coordinator takes the run while the first still lives.
    private void Supersede(Coordinator coordinator)
    {
        _stale = coordinator;
        _current = null;
        _restarts++;
        coordinator.Disk.KilledAt = int.MaxValue;
        coordinator.Disk.FailsAt = int.MaxValue;
        _current = Open(locksFail: true);
    }

    private void DisturbFrom(Coordinator stale)
    {
        var (session, held) = stale.Workers[_random.Next(stale.Workers.Count)];
        var grants = held.Count > 0 ? held : [.. stale.Registry.TryPull(session, 1).Grants];
        foreach (var grant in grants.ToList())
        {
            var reference = GrantReference.To(grant);
            using var upload = grant.Group.Kind == GroupKind.Train ? stale.Registry.BeginUpload(session, reference).Upload : null;
            if (upload is null && grant.Group.Kind == GroupKind.Train)
            {
                continue;
            }

            var outcome = FakeComputer.Compute(grant.Group, stale.Run.Adapter, _plan.Layout, (offset, part) => upload!.Write(offset, part));
            var verdict = stale.Registry.Submit(session, reference, outcome, upload, null);
            Require(verdict.Status != SubmitStatus.Accepted, $"a coordinator whose term {stale.Run.Run.Term} is over acknowledged the {grant.Key}");
        }

        held.Clear();
        stale.Run.Advance();
    }

    private void Restart(bool cutPower)
    {
        _current?.Disk.Kill();
        _current = null;
        _restarts++;
        if (cutPower)
        {
            _stale?.Disk.Kill();
            _stale = null;
            _disk.CutPower();
        }
    }

    private Coordinator Open(bool locksFail)
    {
        var process = new DiskProcess(_disk, _bug) { LocksFail = locksFail || _stale is not null };
        if (_restarts < MostRestarts)
        {
            process.KilledAt = _random.Next(3) == 0 ? _random.Next(1, 120) : int.MaxValue;
            process.FailsAt = _random.Next(6) == 0 ? _random.Next(1, 120) : int.MaxValue;
        }

        try
        {
            var store = RunStore.Open(process, _plan, _initial, Keeping, _time);
            Require(store.Found.Term > _highestTerm, $"term {store.Found.Term} was there before");
            _highestTerm = store.Found.Term;
            return new Coordinator(process, store, _options, _time, _workers);
        }
        catch (RunStorageException)
        {
            // A coordinator that cannot open its run ends, and its locks with it.
            process.Kill();
            throw;
        }
    }

    private static void Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new PropertyViolatedException(otherwise);
        }
    }
}
