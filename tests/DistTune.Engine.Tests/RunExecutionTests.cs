using DistTune.Core;
using DistTune.Core.Training;
using Microsoft.Extensions.Time.Testing;

namespace DistTune.Engine.Tests;

public sealed partial class RunExecutionTests : IDisposable
{
    private static readonly WorkerFingerprint Fingerprint = FakePlan.Fingerprint();
    private readonly FakeTimeProvider _time = new();
    private readonly RecordingObserver _observer = new();
    private readonly InMemoryRunJournal _journal = new();
    private readonly RunRegistry _registry;

    public RunExecutionTests() =>
        _registry = new RunRegistry(new EngineOptions { LeaseDuration = TimeSpan.FromSeconds(10), BackupAfter = TimeSpan.FromSeconds(60) }, _time);

    public void Dispose() => _registry.Dispose();

    [Fact]
    public void A_lease_without_progress_expires_and_the_group_is_given_out_again()
    {
        var (run, first) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        var grant = Assert.Single(_registry.TryPull(first, 1).Grants);
        var second = _registry.Register("second", 1, 1, Fingerprint);

        _time.Advance(TimeSpan.FromSeconds(9));
        Assert.Empty(_registry.TryPull(second, 1).Grants);
        _time.Advance(TimeSpan.FromSeconds(2));

        var again = Assert.Single(_registry.TryPull(second, 1).Grants);
        Assert.Equal(2, again.Attempt);
        Assert.Equal(SubmitStatus.Accepted, Submit(run, first, grant).Status);
        Assert.True(again.Revoked.IsCancellationRequested);
        Assert.Equal(SubmitStatus.Duplicate, Submit(run, second, again).Status);
    }

    [Fact]
    public void Progress_renews_a_lease()
    {
        var (_, first) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        var grant = Assert.Single(_registry.TryPull(first, 1).Grants);
        var second = _registry.Register("second", 1, 1, Fingerprint);
        for (var i = 0; i < 5; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(8));
            _registry.Progress(GrantReference.To(grant));
        }

        Assert.Empty(_registry.TryPull(second, 1).Grants);
    }

    [Fact]
    public void An_overdue_group_is_given_to_an_idle_worker_as_well()
    {
        var (run, first) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        var grant = Assert.Single(_registry.TryPull(first, 1).Grants);
        var second = _registry.Register("second", 1, 1, Fingerprint);
        for (var i = 0; i < 10; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(8));
            _registry.Progress(GrantReference.To(grant));
        }

        var backup = Assert.Single(_registry.TryPull(second, 1).Grants);
        Assert.Empty(_registry.TryPull(second, 1).Grants);
        Assert.Equal(SubmitStatus.Accepted, Submit(run, second, backup).Status);
        Assert.True(grant.Revoked.IsCancellationRequested);
    }

    [Fact]
    public void A_worker_that_leaves_gives_its_groups_back_at_once()
    {
        var (_, first) = Start(FakePlan.Create(source: new FakePlan(2, 0, 0)));
        Assert.Equal(2, _registry.TryPull(first, 2).Grants.Count);
        var second = _registry.Register("second", 1, 2, Fingerprint);
        Assert.Empty(_registry.TryPull(second, 2).Grants);

        _registry.Leave(first, "connection lost");

        Assert.Equal([0, 1], _registry.TryPull(second, 2).Grants.Select(grant => grant.Group.Index));
        Assert.Equal(2, Assert.Single(_observer.Of<WorkerLeft>()).GroupsRequeued);
        var fault = Assert.Throws<DistTuneException>(() => _registry.TryPull(first, 1));
        Assert.Equal(FaultKind.Stale, fault.Kind);
    }

    [Fact]
    public void A_result_for_a_past_step_is_stale_and_changes_nothing()
    {
        var (run, worker) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        var grant = Assert.Single(_registry.TryPull(worker, 1).Grants);
        Submit(run, worker, grant);
        run.Advance();
        var adapter = run.Run.AdapterSha256;

        Assert.Equal(SubmitStatus.Stale, Submit(run, worker, grant).Status);
        Assert.Equal(SubmitStatus.Stale, _registry.BeginUpload(worker, GrantReference.To(grant) with { Term = 0 }).Refusal.Status);
        Assert.Equal(adapter, run.Run.AdapterSha256);
    }

    [Fact]
    public void A_wrong_token_count_is_refused_and_the_third_time_fails_the_run()
    {
        var (run, worker) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            var grant = Assert.Single(_registry.TryPull(worker, 1).Grants);
            Assert.Equal(attempt, grant.Attempt);
            var verdict = Submit(run, worker, grant, outcome => outcome with { TrainedTokens = outcome.TrainedTokens + 1 });
            Assert.Equal(SubmitStatus.Invalid, verdict.Status);
        }

        Assert.Equal(RunState.Failed, run.Run.State);
        Assert.Contains("failed 3 times, last on worker first: 3 trained tokens were reported, the plan has 2", run.Run.Failure, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_loss_that_is_not_finite_fails_the_run_and_names_step_group_and_worker(double loss)
    {
        var (run, worker) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        var verdict = Submit(run, worker, _registry.TryPull(worker, 1).Grants[0], outcome => outcome with { LossSum = loss });
        Assert.Equal(SubmitStatus.Invalid, verdict.Status);
        Assert.Equal(RunState.Running, run.Run.State);

        Submit(run, worker, _registry.TryPull(worker, 1).Grants[0], outcome => outcome with { LossSum = loss });

        Assert.Contains("train group 0 of step 0 is not finite, neither on worker first nor again on worker first: the loss sum is", run.Run.Failure, StringComparison.Ordinal);
        Assert.Single(_journal.Records.OfType<NonFiniteFound>());
    }

    [Fact]
    public void A_gradient_that_is_not_finite_fails_the_run_and_names_the_tensor()
    {
        var (run, worker) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        for (var attempt = 1; attempt <= 2; attempt++)
        {
            var grant = _registry.TryPull(worker, 1).Grants[0];
            using var upload = _registry.BeginUpload(worker, GrantReference.To(grant)).Upload!;
            var outcome = FakeComputer.Compute(grant.Group, run.Adapter, run.Plan.Layout, (offset, part) =>
            {
                part[5] = offset == run.Plan.Layout.Entries[1].Offset ? float.NaN : part[5];
                upload.Write(offset, part);
            });

            _registry.Submit(worker, GrantReference.To(grant), outcome, upload, null);
        }

        Assert.Contains("the gradient of a.lora_B.weight is NaN at element 5", run.Run.Failure, StringComparison.Ordinal);
    }

    [Fact]
    public void A_gradient_whose_hash_is_not_what_the_worker_sent_is_refused()
    {
        var (run, worker) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        var grant = _registry.TryPull(worker, 1).Grants[0];

        var verdict = Submit(run, worker, grant, sha256: new string('0', 64));

        Assert.Equal(SubmitStatus.Invalid, verdict.Status);
        Assert.Single(_registry.TryPull(worker, 1).Grants);
    }

    [Fact]
    public void A_step_that_trains_no_token_fails_before_time_is_spent()
    {
        var (run, worker) = Start(FakePlan.Create(source: new FakePlan(3, 0, 0) { IsTrained = (_, _) => false }));

        Assert.Empty(_registry.TryPull(worker, 3).Grants);
        Assert.Contains("trains none of them", run.Run.Failure, StringComparison.Ordinal);
    }

    [Fact]
    public void A_worker_that_would_compute_other_bits_is_kept_out()
    {
        Start(FakePlan.Create());

        var library = Assert.Throws<DistTuneException>(() => _registry.Register("other", 1, 1, Fingerprint with { ComputeLibrary = "libtorch 9" }));
        var weights = Assert.Throws<DistTuneException>(() => _registry.Register("other", 1, 1, Fingerprint with { BaseSha256 = "else" }));

        Assert.Contains("compute library is 'libtorch 9', the run has 'fake'", library.Message, StringComparison.Ordinal);
        Assert.Contains("holds the base else", weights.Message, StringComparison.Ordinal);
        Assert.Single(_registry.Workers);
    }

    [Fact]
    public void A_draining_worker_gets_no_more_groups_but_may_finish_what_it_holds()
    {
        var (run, worker) = Start(FakePlan.Create(source: new FakePlan(2, 0, 0)));
        var grant = _registry.TryPull(worker, 1).Grants[0];

        _registry.Drain(worker);

        var answer = _registry.TryPull(worker, 1);
        Assert.True(answer.Drain);
        Assert.Empty(answer.Grants);
        Assert.Equal(SubmitStatus.Accepted, Submit(run, worker, grant).Status);
    }

    [Fact]
    public async Task A_pull_waits_until_a_group_appears()
    {
        var (_, first) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        _registry.TryPull(first, 1);
        var second = _registry.Register("second", 1, 1, Fingerprint);

        var pull = _registry.PullAsync(second, 1, TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        Assert.False(pull.IsCompleted);
        _registry.Leave(first, "killed");

        Assert.Single((await pull).Grants);
    }

    [Fact]
    public async Task A_pull_comes_back_empty_after_its_wait()
    {
        var (_, first) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        _registry.TryPull(first, 1);

        var pull = _registry.PullAsync(first, 1, TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        _time.Advance(TimeSpan.FromSeconds(6));

        Assert.Empty((await pull).Grants);
    }

    private (RunExecution Run, WorkerSession Worker) Start(RunPlan plan)
    {
        var run = _registry.Add(plan, FakePlan.Initial(plan), _journal, _observer);
        var worker = _registry.Register("first", 0, 4, Fingerprint);
        run.Advance();
        return (run, worker);
    }

    private static string Finish(RunPlan plan)
    {
        return InProcessTraining.RunAsync(plan, FakePlan.Initial(plan), [new FakeComputer(plan.Layout)], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken)
            .GetAwaiter().GetResult().Adapter.Sha256;
    }

    private void Complete(RunExecution run, WorkerSession worker, Func<Grant, Func<GroupOutcome, GroupOutcome>?>? change = null)
    {
        for (var round = 0; round < 100 && !run.Run.Ended; round++)
        {
            run.Advance();
            foreach (var grant in _registry.TryPull(worker, 1).Grants)
            {
                Submit(run, worker, grant, change?.Invoke(grant));
            }
        }
    }

    private static GroupOutcome Lie(GroupOutcome outcome) => outcome with { LossSum = Math.BitIncrement(outcome.LossSum) };

    // The first one's lease ends without progress, so that both may hand in a result.
    private (Grant First, Grant Second) GrantTwice(WorkerSession first, WorkerSession second, RunRegistry? registry = null)
    {
        registry ??= _registry;
        var grant = registry.TryPull(first, 1).Grants[0];
        _time.Advance(TimeSpan.FromSeconds(11));
        var again = registry.TryPull(second, 1).Grants[0];
        Assert.Equal(grant.Key, again.Key);
        return (grant, again);
    }

    private SubmitVerdict Submit(
        RunExecution run, WorkerSession worker, Grant grant, Func<GroupOutcome, GroupOutcome>? change = null, string? sha256 = null, RunRegistry? registry = null)
    {
        registry ??= _registry;
        var reference = GrantReference.To(grant);
        var (upload, refusal) = registry.BeginUpload(worker, reference);
        if (upload is null)
        {
            return refusal;
        }

        using (upload)
        {
            var outcome = FakeComputer.Compute(grant.Group, run.Adapter, run.Plan.Layout, (offset, part) => upload.Write(offset, part));
            return registry.Submit(worker, reference, change?.Invoke(outcome) ?? outcome, upload, sha256);
        }
    }
}
