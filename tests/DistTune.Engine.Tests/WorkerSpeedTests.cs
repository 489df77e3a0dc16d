using DistTune.Core.Training;
using Microsoft.Extensions.Time.Testing;

namespace DistTune.Engine.Tests;

/// <summary>Workers of different speeds on a clock that only the test moves.</summary>
public sealed class WorkerSpeedTests : IDisposable
{
    private const double SecondsPerToken = 0.25;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(50);
    private readonly FakeTimeProvider _time = new();
    private readonly RecordingObserver _observer = new();
    private readonly InMemoryRunJournal _journal = new();
    private readonly RunRegistry _registry;

    public WorkerSpeedTests() => _registry = new RunRegistry(new EngineOptions(), _time);

    public void Dispose() => _registry.Dispose();

    [Theory]
    [InlineData(2, 12)]
    [InlineData(3, 12)]
    [InlineData(3, 2)]
    [InlineData(3, 5)]
    public void A_slow_worker_does_its_share_and_holds_a_step_up_by_no_more_than_one_group_of_the_fast_one(int slower, int groups)
    {
        var plan = FakePlan.Create(steps: 12, source: new FakePlan(groups, 0, 0));
        var run = Work(plan, new("fast", 1), new("slow", slower));

        Assert.Equal(RunState.Finished, run.Run.State);
        Assert.Equal(Alone(plan), run.Run.AdapterSha256);

        // What the two need together, if both were busy to the end, and about one group of the fast one.
        var slack = 1.5 * 8 * SecondsPerToken;
        var steps = _observer.Of<StepFinished>().Skip(2).ToList();
        var late = steps.Count(step => step.StepSeconds > (step.Record.TotalTokens * SecondsPerToken / (1 + (1.0 / slower))) + slack);

        // Now and then a slow worker that got nothing is tried again.
        Assert.InRange(late, 0, groups <= slower ? 4 : slower > groups / 2 ? 3 : 0);
        Assert.InRange(steps.Sum(step => step.StepSeconds) / steps.Sum(step => step.Record.TotalTokens * SecondsPerToken), 0, 1.2);
        if (groups > 2 * slower)
        {
            var done = _journal.Records.OfType<GroupDone>().CountBy(record => record.Worker).ToDictionary();
            Assert.InRange(done["fast"] / (double)done["slow"], 0.7 * slower, 1.4 * slower);
        }
    }

    [Fact]
    public void A_straggler_that_suddenly_stops_gets_a_copy_of_its_group_computed_by_a_faster_worker()
    {
        var plan = FakePlan.Create(steps: 6, source: new FakePlan(6, 0, 0));

        var run = Work(plan, new("fast", 1), new("straggler", 1) { StopsAfter = 9 });

        Assert.Equal(Alone(plan), run.Run.AdapterSha256);
        var copy = Assert.Single(_observer.Of<GroupReleased>());
        Assert.Contains("fast computes it as well", copy.Reason, StringComparison.Ordinal);

        // Five seconds of patience, and not the lease of two minutes.
        Assert.All(_observer.Of<StepFinished>(), step => Assert.InRange(step.StepSeconds, 0, 5 + (6 * 8 * SecondsPerToken)));
    }

    [Fact]
    public void An_overdue_group_is_copied_to_the_worker_that_would_be_done_first()
    {
        var (run, fast, slow) = Measured(slower: 8);
        var (first, rest) = (_registry.TryPull(fast, 1).Grants[0], _registry.TryPull(fast, 4).Grants);
        foreach (var grant in rest)
        {
            Submit(run, fast, grant);
        }

        // Overdue for its own worker, and for a slow one not worth while yet.
        _time.Advance(TimeSpan.FromSeconds(6));
        Assert.Empty(_registry.TryPull(slow, 1).Grants);
        var third = Join("third", 2);
        Assert.Equal(first.Key, Assert.Single(_registry.TryPull(third, 1).Grants).Key);
    }

    [Fact]
    public async Task A_slow_worker_that_was_held_back_is_woken_when_the_fast_one_does_not_come()
    {
        var (_, _, slow) = Measured(slower: 8);

        var pull = _registry.PullAsync(slow, 1, TimeSpan.FromSeconds(100), TestContext.Current.CancellationToken);
        Assert.False(pull.IsCompleted);

        // It would have needed seven seconds itself.
        for (var i = 0; i < 20; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Single((await pull).Grants);
    }

    [Fact]
    public void A_worker_that_was_slow_once_is_tried_again()
    {
        var paces = new WorkerPaces();
        var group = FakePlan.Create(source: new FakePlan(1, 0, 0)).Groups.TrainingGroups(0)[0];
        paces.Measure("fast", group, TimeSpan.FromSeconds(1));
        paces.Measure("once", group, TimeSpan.FromSeconds(100));
        for (var stage = 0; stage < 40; stage++)
        {
            paces.Doubt("once", group.Kind);
        }

        Assert.InRange(paces.Of("once", group)!.Value.TotalSeconds, 1, 1.1);
        Assert.Equal(TimeSpan.FromSeconds(1), paces.Expect("unknown", group));
        Assert.Null(paces.Of("unknown", group));
    }

    // A run whose first step is done, so that both workers are measured, and the second one's groups are there.
    private (RunExecution Run, WorkerSession Fast, WorkerSession Slow) Measured(int slower)
    {
        var plan = FakePlan.Create(steps: 2, source: new FakePlan(3, 0, 0));
        var run = _registry.Add(plan, FakePlan.Initial(plan), _journal, _observer);
        var (fast, slow) = (Join("fast", 0, slots: 4), Join("slow", 1));
        run.Advance();
        var (quick, lame) = (_registry.TryPull(fast, 2).Grants, _registry.TryPull(slow, 1).Grants[0]);
        _time.Advance(TimeSpan.FromSeconds(1));
        foreach (var grant in quick)
        {
            Submit(run, fast, grant);
        }

        _time.Advance(TimeSpan.FromSeconds(slower - 1));
        Submit(run, slow, lame);
        run.Advance();
        return (run, fast, slow);
    }

    private WorkerSession Join(string name, int rank, int slots = 1) => _registry.Register(name, rank, slots, FakePlan.Fingerprint());

    private RunExecution Work(RunPlan plan, params Pacer[] workers)
    {
        var run = _registry.Add(plan, FakePlan.Initial(plan), _journal, _observer);
        var sessions = workers.Select((worker, rank) => Join(worker.Name, rank)).ToList();
        for (var tick = 0; !run.Run.Ended && tick < 100_000; tick++)
        {
            run.Advance();
            foreach (var (worker, session) in workers.Zip(sessions))
            {
                worker.Act(_registry, _time, session, grant => Submit(run, session, grant));
            }

            _time.Advance(Tick);
        }

        return run;
    }

    private static string Alone(RunPlan plan) => InProcessTraining.RunAsync(
        plan, FakePlan.Initial(plan), [new FakeComputer(plan.Layout)], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken).GetAwaiter().GetResult().Adapter.Sha256;

    private void Submit(RunExecution run, WorkerSession worker, Grant grant)
    {
        using var upload = _registry.BeginUpload(worker, GrantReference.To(grant)).Upload;
        if (upload is not null)
        {
            var outcome = FakeComputer.Compute(grant.Group, run.Adapter, run.Plan.Layout, (offset, part) => upload.Write(offset, part));
            _registry.Submit(worker, GrantReference.To(grant), outcome, upload, null);
        }
    }

    /// <summary>A worker with one lane that needs so much longer than a fast one.</summary>
    private sealed class Pacer(string name, int slower)
    {
        private Grant? _held;
        private long _started;
        private int _done;

        public string Name => name;

        /// <summary>Never finishes another group after so many.</summary>
        public int StopsAfter { get; init; } = int.MaxValue;

        public void Act(RunRegistry registry, TimeProvider time, WorkerSession session, Action<Grant> submit)
        {
            if (_held is { } held)
            {
                if (_done >= StopsAfter || time.GetElapsedTime(_started).TotalSeconds < held.Group.TotalTokens * SecondsPerToken * slower)
                {
                    return;
                }

                _held = null;
                _done++;
                submit(held);
            }

            if (registry.TryPull(session, 1).Grants is [var grant])
            {
                (_held, _started) = (grant, time.GetTimestamp());
            }
        }
    }
}
