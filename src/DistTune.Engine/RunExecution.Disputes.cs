using System.Collections.Immutable;
using System.Globalization;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <content>Results that contradict each other or cannot be right: who is believed, and who is shut out.</content>
public sealed partial class RunExecution
{
    private readonly Dictionary<string, int> _wrong = new(StringComparer.Ordinal);
    private ImmutableArray<(string Worker, string Reason)> _liars = [];
    private readonly Dictionary<GroupKey, long> _undecided = [];
    private bool _committing;

    // A disputed group is only for a worker that has no part in the dispute. One that failed somewhere goes elsewhere first.
    private bool IsFor(WorkerSession worker, StageWork.GroupWork group)
    {
        if (_run.Disputes.TryGetValue(GroupKey.Of(group.Spec), out var dispute))
        {
            return worker.Name != dispute.FirstWorker && worker.Name != dispute.SecondWorker;
        }

        return !group.Tried.Contains(worker.Name) || _workers().All(other => group.Tried.Contains(other.Name));
    }

    // Two results of one group: nobody knows yet which is right, so neither counts until a third worker has computed it.
    private SubmitVerdict Dispute(GroupDone first, WorkerSession worker, string digest)
    {
        if (_committing)
        {
            return new SubmitVerdict(SubmitStatus.Stale, "the step is being taken");
        }

        var dispute = new DeterminismViolated(first.Group, first.Worker, first.Digest, worker.Name, digest);
        Record(dispute);
        if (_options.ArbiterWait <= TimeSpan.Zero && !CanBeDecided(dispute))
        {
            FailUnderGate(Undecidable(dispute));
            return new SubmitVerdict(SubmitStatus.Fatal, Undecidable(dispute));
        }

        GiveUp([first], "two workers disagree about it");
        WatchUnderGate();
        _workAppeared();
        return new SubmitVerdict(SubmitStatus.Stale, TwoResults(dispute) + "A third worker decides.");
    }

    /// <summary>Waits for third workers, and not for ever.</summary>
    private void WatchDisputes()
    {
        try
        {
            lock (_gate)
            {
                WatchUnderGate();
            }
        }
        catch (Storage.RunStorageException fault)
        {
            Suspend(fault);
        }

        if (Run.Ended)
        {
            Wake();
        }
    }

    private void WatchUnderGate()
    {
        foreach (var dispute in _run.Undecided)
        {
            if (CanBeDecided(dispute))
            {
                _undecided.Remove(dispute.Group);
            }
            else if (_undecided.TryAdd(dispute.Group, _time.GetTimestamp()))
            {
                _events.Enqueue(new DisputeWaits(Plan.RunId, dispute.Group, dispute.FirstWorker, dispute.SecondWorker, _options.ArbiterWait));
            }
            else if (_time.GetElapsedTime(_undecided[dispute.Group]) >= _options.ArbiterWait)
            {
                FailUnderGate(Undecidable(dispute));
                return;
            }
        }
    }

    private bool CanBeDecided(DeterminismViolated dispute) => _workers().Any(worker => worker.Name != dispute.FirstWorker && worker.Name != dispute.SecondWorker);

    private static string TwoResults(DeterminismViolated dispute) =>
        $"The {dispute.Group} has two results: {Short(dispute.FirstDigest)} from worker {dispute.FirstWorker} and {Short(dispute.SecondDigest)} from worker {dispute.SecondWorker}. ";

    private static string Undecidable(DeterminismViolated dispute) => TwoResults(dispute) +
        "One of them does not compute deterministically, and there is no third worker to tell which. Run without it, or start the run again with three workers.";

    /// <summary>Null if a result can be taken; a disputed group's third result says who lied.</summary>
    private SubmitVerdict? Judge(GroupKey group, WorkerSession worker, string digest)
    {
        if (!_run.Disputes.TryGetValue(group, out var dispute))
        {
            return null;
        }

        if (worker.Name == dispute.FirstWorker || worker.Name == dispute.SecondWorker)
        {
            return new SubmitVerdict(SubmitStatus.Stale, $"the {group} is disputed; a third worker decides");
        }

        var liar = digest == dispute.FirstDigest ? dispute.SecondWorker : digest == dispute.SecondDigest ? dispute.FirstWorker : null;
        if (liar is null)
        {
            var reason = $"The {group} has three results: from workers {dispute.FirstWorker}, {dispute.SecondWorker} and {worker.Name}. These machines do not compute the same bits; use workers of one kind.";
            FailUnderGate(reason);
            return new SubmitVerdict(SubmitStatus.Fatal, reason);
        }

        Quarantine(liar, $"worker {worker.Name} confirms that its result for the {group} is wrong");
        return null;
    }

    private void Quarantine(string worker, string reason)
    {
        if (!_run.Quarantined.Contains(worker))
        {
            Record(new WorkerQuarantined(worker, reason));
            _liars = _liars.Add((worker, reason));
        }
    }

    // What else a liar computed for the open stage is computed again. Steps that were taken stand.
    private void ForgetResultsOfLiars(GroupKey except)
    {
        if (!_liars.IsEmpty && _run.Stage is { } stage)
        {
            GiveUp([.. stage.Done.Values.Where(done => done.Group != except && _run.Quarantined.Contains(done.Worker))], "its worker was shut out");
        }
    }

    private void GiveUp(IReadOnlyCollection<GroupDone> results, string reason)
    {
        foreach (var done in results)
        {
            Record(new GroupReopened(done.Group, reason));
            _work!.Find(done.Group)!.Done = false;
        }

        // The result that decides a dispute is spooled, but not added yet: it is in the new sums, too.
        RebuildSums();
    }

    // Sums that a result has gone into cannot be undone.
    private void RebuildSums()
    {
        if (_reduction is null || _run.Stage is not { } stage)
        {
            return;
        }

        _reduction.Release();
        _reduction = new ReductionTree(stage.Groups.Length, _pool);
        foreach (var done in stage.Done.Values)
        {
            if (!TryAddBack(_reduction, done))
            {
                Record(new GroupReopened(done.Group, "its gradient is not kept"));
                _work!.Find(done.Group)!.Done = false;
            }
        }
    }

    private bool TryAddBack(ReductionTree reduction, GroupDone done)
    {
        var kept = new KeptGradient(done, Plan.Layout.Length, _store);
        var vector = _pool.TryRent();
        if (!kept.TryRead(vector))
        {
            if (vector is not null)
            {
                _pool.Return(vector);
            }

            return false;
        }

        if (vector is not null)
        {
            reduction.Add(done.Group.Index, vector);
        }
        else
        {
            reduction.Add(done.Group.Index, kept);
        }

        return true;
    }

    // NaN or infinity may be the worker's fault or the group's. The same bits a second time mean that it is the group's.
    private SubmitVerdict TakeNonFinite(WorkerSession worker, GrantReference reference, GroupOutcome outcome, GradientUpload? upload, string what)
    {
        var digest = ResultDigest.Of(outcome, upload?.Sha256 ?? string.Empty);
        ReductionTree? reduction;
        GroupDone done;
        lock (_gate)
        {
            if (StaleReason(reference) is { } stale)
            {
                return new SubmitVerdict(SubmitStatus.Stale, stale);
            }

            if (_run.Stage!.Done.TryGetValue(reference.Group, out var first))
            {
                return Compare(first, worker, digest);
            }

            var reproduced = _run.NonFinite.TryGetValue(reference.Group, out var before) && before.Digest == digest;
            if (!reproduced)
            {
                Record(new NonFiniteFound(reference.Group, worker.Name, digest, what));
                return new SubmitVerdict(SubmitStatus.Invalid, $"it is not finite: {what}");
            }

            var reason = $"The {reference.Group} is not finite, neither on worker {before!.Worker} nor again on worker {worker.Name}: {what}.";
            if (!Plan.SkipNonFinite || reference.Group.Kind != GroupKind.Train)
            {
                reason += " Lower learning_rate, look at the group's samples, or leave such groups out with on_nonfinite: skip.";
                FailUnderGate(reason);
                return new SubmitVerdict(SubmitStatus.Fatal, reason);
            }

            var nothing = new GroupOutcome(0, 0, outcome.TotalTokens, [], outcome.Timings);
            done = new GroupDone(reference.Group, reference.Attempt, worker.Name, digest, nothing) { Skipped = true };
            Record(done);
            _work!.Finish(_work.Find(reference.Group)!, worker, reference.Attempt, nothing);
            reduction = _reduction;
        }

        reduction?.Add(reference.Group.Index, new KeptGradient(done, Plan.Layout.Length, _store));
        return new SubmitVerdict(SubmitStatus.Accepted, string.Empty);
    }

    private void CountWrong(WorkerSession worker, string reason)
    {
        try
        {
            lock (_gate)
            {
                var wrong = _wrong[worker.Name] = _wrong.GetValueOrDefault(worker.Name) + 1;
                if (wrong >= _options.WrongResultsPerWorker && !_run.Ended && _workers().Any(other => other.Name != worker.Name))
                {
                    Quarantine(worker.Name, string.Create(CultureInfo.InvariantCulture, $"{wrong} of its results cannot be right, the last because {reason}"));
                }
            }
        }
        catch (Storage.RunStorageException fault)
        {
            Suspend(fault);
        }
    }

    private void ShutOutLiars()
    {
        var liars = ImmutableInterlocked.InterlockedExchange(ref _liars, []);
        foreach (var (worker, reason) in liars)
        {
            _shutOut(worker, reason);
        }
    }
}
