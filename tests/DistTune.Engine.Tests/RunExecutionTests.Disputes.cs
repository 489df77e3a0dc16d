using DistTune.Core;
using DistTune.Core.Training;

namespace DistTune.Engine.Tests;

/// <content>Results that differ, that nobody asked for, or that cannot be right, and who is shut out for them.</content>
public sealed partial class RunExecutionTests
{
    [Fact]
    public void A_different_second_result_without_a_third_worker_is_said_once_and_fails_the_run_in_the_end()
    {
        var (run, first) = Start(FakePlan.Create(groups: 2, source: new FakePlan(2, 0, 0)));
        var second = _registry.Register("second", 1, 1, Fingerprint);
        var (grant, again) = GrantTwice(first, second);
        Submit(run, first, grant);

        Assert.Equal(SubmitStatus.Stale, Submit(run, second, again, Lie).Status);
        _time.Advance(TimeSpan.FromMinutes(9));
        Assert.Equal(RunState.Running, run.Run.State);
        Assert.Equal(again.Key, Assert.Single(_observer.Of<DisputeWaits>()).Group);

        _time.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(RunState.Failed, run.Run.State);
        Assert.Contains("train group 0 of step 0", run.Run.Failure, StringComparison.Ordinal);
        Assert.Contains("first", run.Run.Failure, StringComparison.Ordinal);
        Assert.Contains("second", run.Run.Failure, StringComparison.Ordinal);
        Assert.Single(_journal.Records.OfType<DeterminismViolated>());
    }

    [Fact]
    public void A_dispute_waits_for_a_third_worker_while_the_other_groups_go_on()
    {
        var plan = FakePlan.Create(groups: 3, source: new FakePlan(3, 0, 0));
        var (run, first) = Start(plan);
        var second = _registry.Register("second", 1, 4, Fingerprint);
        var (grant, again) = GrantTwice(first, second);
        var silent = _registry.Register("silent", 2, 4, Fingerprint, opensSession: true);
        Submit(run, first, grant);
        Submit(run, second, again, Lie);

        // One that has only registered is no third.
        Assert.Single(_observer.Of<DisputeWaits>());
        foreach (var other in _registry.TryPull(first, 4).Grants)
        {
            Assert.Equal(SubmitStatus.Accepted, Submit(run, first, other).Status);
        }

        run.Advance();
        Assert.Equal(again.Key, Assert.Single(run.Run.Undecided).Group);
        Assert.Empty(_registry.TryPull(first, 4).Grants);
        _registry.Open(silent);
        var deciding = Assert.Single(_registry.TryPull(silent, 4).Grants);
        Assert.Equal(SubmitStatus.Accepted, Submit(run, silent, deciding).Status);
        Assert.True(second.Gone);

        // Kept in memory only, what had been added is computed once more, the disputed group by its third worker.
        Complete(run, silent);
        Assert.Equal(Finish(plan), run.Run.AdapterSha256);
    }

    [Fact]
    public void Where_no_other_worker_can_come_a_dispute_of_two_fails_the_run_at_once()
    {
        using var registry = new RunRegistry(new EngineOptions { ArbiterWait = TimeSpan.Zero, LeaseDuration = TimeSpan.FromSeconds(10) }, _time);
        var plan = FakePlan.Create(groups: 2, source: new FakePlan(2, 0, 0));
        var run = registry.Add(plan, FakePlan.Initial(plan), _journal, _observer);
        var (first, second) = (registry.Register("first", 0, 1, Fingerprint), registry.Register("second", 1, 1, Fingerprint));
        run.Advance();
        var (grant, again) = GrantTwice(first, second, registry);
        Submit(run, first, grant, registry: registry);

        Assert.Equal(SubmitStatus.Fatal, Submit(run, second, again, Lie, registry: registry).Status);
        Assert.Contains("start the run again with three workers", run.Run.Failure, StringComparison.Ordinal);
    }

    [Fact]
    public void A_registration_without_a_session_counts_for_nothing_and_expires()
    {
        using var registry = new RunRegistry(new EngineOptions { WorkersToStart = 2 }, _time);
        var plan = FakePlan.Create();
        var run = registry.Add(plan, FakePlan.Initial(plan), _journal, _observer);
        registry.Register("first", 0, 1, Fingerprint);
        var dead = registry.Register("dead", 1, 1, Fingerprint, opensSession: true);
        run.Advance();
        Assert.Equal(RunState.Registering, run.Run.State);
        Assert.DoesNotContain(_observer.Of<WorkerJoined>(), joined => joined.Worker == "dead");

        _time.Advance(TimeSpan.FromSeconds(11));

        Assert.True(dead.Gone);
        Assert.Equal("first", Assert.Single(registry.Workers).Name);
        Assert.Equal(FaultKind.Stale, Assert.Throws<DistTuneException>(() => registry.Open(dead)).Kind);
        var second = registry.Register("second", 1, 1, Fingerprint, opensSession: true);
        Assert.Empty(registry.TryPull(second, 1).Grants);
        registry.Open(second);
        run.Advance();
        Assert.Single(registry.TryPull(second, 1).Grants);
        _time.Advance(TimeSpan.FromSeconds(11));
        Assert.False(second.Gone);
    }

    [Fact]
    public void A_result_of_a_grant_that_a_worker_never_had_is_refused_and_harms_nobody()
    {
        var (run, first) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        var grant = Assert.Single(_registry.TryPull(first, 1).Grants);
        var stranger = _registry.Register("stranger", 1, 1, Fingerprint);
        var held = GrantReference.To(grant);

        foreach (var (worker, reference) in new[] { (stranger, held), (first, held with { Attempt = 2 }), (first, held with { Attempt = 0 }) })
        {
            var (upload, refusal) = _registry.BeginUpload(worker, reference);
            Assert.Null(upload);
            Assert.Equal(SubmitStatus.Invalid, refusal.Status);
            Assert.Contains("was never granted", refusal.Reason, StringComparison.Ordinal);
        }

        for (var i = 0; i < 5; i++)
        {
            _registry.ReportFailure(stranger, held, "made up");
        }

        Assert.Equal(RunState.Running, run.Run.State);
        Assert.Empty(_registry.TryPull(stranger, 1).Grants);
        Assert.Equal(SubmitStatus.Accepted, Submit(run, first, grant).Status);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_third_worker_decides_between_two_results_and_the_liar_is_shut_out(bool liesFirst)
    {
        var expected = Finish(FakePlan.Create(groups: 3, source: new FakePlan(3, 0, 0)));
        var plan = FakePlan.Create(groups: 3, source: new FakePlan(3, 0, 0), runId: "run");
        var (run, first) = Start(plan);
        var second = _registry.Register("second", 1, 4, Fingerprint);
        var third = _registry.Register("third", 2, 4, Fingerprint);
        var (grant, again) = GrantTwice(first, second);
        Assert.Equal(SubmitStatus.Accepted, Submit(run, first, grant, liesFirst ? Lie : null).Status);

        Assert.Equal(SubmitStatus.Stale, Submit(run, second, again, liesFirst ? null : Lie).Status);

        Assert.DoesNotContain(_registry.TryPull(first, 4).Grants, other => other.Key == grant.Key);
        Assert.Equal(SubmitStatus.Stale, Submit(run, first, grant).Status);
        var deciding = _registry.TryPull(third, 4).Grants.Single(other => other.Key == grant.Key);
        Assert.Equal(SubmitStatus.Accepted, Submit(run, third, deciding).Status);
        var liar = liesFirst ? first : second;
        Assert.True(liar.Gone);
        Assert.Equal(liar.Name, Assert.Single(_journal.Records.OfType<WorkerQuarantined>()).Worker);
        var fault = Assert.Throws<DistTuneException>(() => _registry.Register(liar.Name, 0, 1, Fingerprint));
        Assert.Contains("was shut out", fault.Message, StringComparison.Ordinal);
        _registry.Leave(liesFirst ? second : first, "done");
        _registry.Leave(third, "done");
        Complete(run, _registry.Register("fourth", 3, 4, Fingerprint));
        Assert.Equal(expected, run.Run.AdapterSha256);
    }

    [Fact]
    public void A_worker_that_sends_what_cannot_be_right_three_times_is_shut_out_and_the_run_goes_on()
    {
        var (run, bad) = Start(FakePlan.Create(groups: 4, source: new FakePlan(4, 0, 0)));
        var good = _registry.Register("good", 1, 4, Fingerprint);
        foreach (var grant in _registry.TryPull(bad, 3).Grants)
        {
            Assert.Equal(SubmitStatus.Invalid, Submit(run, bad, grant, outcome => outcome with { TrainedTokens = 1000 }).Status);
        }

        Assert.True(bad.Gone);
        Assert.Contains("3 of its results cannot be right", Assert.Single(_journal.Records.OfType<WorkerQuarantined>()).Reason, StringComparison.Ordinal);
        Complete(run, good);
        Assert.Equal(RunState.Finished, run.Run.State);
    }

    [Fact]
    public void A_group_that_is_not_finite_is_computed_elsewhere_and_what_was_a_workers_fault_does_no_harm()
    {
        var expected = Finish(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        var (run, first) = Start(FakePlan.Create(groups: 1, source: new FakePlan(1, 0, 0)));
        var second = _registry.Register("second", 1, 1, Fingerprint);
        Submit(run, first, _registry.TryPull(first, 1).Grants[0], outcome => outcome with { LossSum = double.NaN });

        Assert.Empty(_registry.TryPull(first, 1).Grants);

        Complete(run, second);
        Assert.Equal(expected, run.Run.AdapterSha256);
    }

    [Fact]
    public void A_group_that_is_not_finite_anywhere_is_left_out_if_the_configuration_says_so()
    {
        var plan = FakePlan.Create(groups: 2, source: new FakePlan(2, 0, 0)) with { SkipNonFinite = true };
        var (run, worker) = Start(plan);
        Complete(run, worker, grant => grant.Key is { Step: 1, Index: 0 } ? outcome => outcome with { LossSum = double.NaN } : null);

        Assert.Equal(RunState.Finished, run.Run.State);
        Assert.True(Assert.Single(_journal.Records.OfType<GroupDone>(), done => done.Skipped).Group is { Step: 1, Index: 0 });
        Assert.Equal(plan.Groups.TrainingGroups(1)[1].TrainedTokens, run.Run.Steps[1].TrainedTokens);
    }
}
