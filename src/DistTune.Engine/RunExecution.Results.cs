using System.Globalization;
using DistTune.Core.Training;
using DistTune.Engine.Storage;

namespace DistTune.Engine;

/// <content>Leases and results: called by many workers at once.</content>
public sealed partial class RunExecution
{
    /// <summary>Leases one group to a worker, or null if there is nothing for it.</summary>
    internal Grant? TryGrant(WorkerSession worker)
    {
        Grant grant;
        lock (_gate)
        {
            if (_suspended is not null || _work is not { } work || _run.Stage is not { } stage || work.TryLease(worker, _workers(), IsFor) is not { } leased)
            {
                return null;
            }

            grant = ToGrant(stage, leased.Work, leased.Lease);
            foreach (var other in leased.Work.Leases.Where(lease => lease.Attempt != leased.Lease.Attempt))
            {
                _events.Enqueue(new GroupReleased(Plan.RunId, grant.Key, other.Worker.Name, $"overdue; {worker.Name} computes it as well"));
            }
        }

        Publish();
        return grant;
    }

    /// <summary>Starts to take a training group's gradient, or says why it is not wanted. Nobody takes a buffer for what was never granted to it.</summary>
    internal (GradientUpload? Upload, SubmitVerdict Refusal) BeginUpload(WorkerSession worker, GrantReference reference)
    {
        lock (_gate)
        {
            if (Refusal(worker, reference) is { } refusal)
            {
                return (null, refusal);
            }
        }

        return (new GradientUpload(Plan.Layout, _pool, _store?.BeginSpool()), default);
    }

    /// <summary>Renews a lease: called for every sign of progress, such as a layer or an uploaded chunk.</summary>
    internal void Progress(GrantReference reference)
    {
        lock (_gate)
        {
            if (StaleReason(reference) is null && _work?.Find(reference.Group) is { } work)
            {
                _work.Renew(work, reference.Attempt);
            }
        }
    }

    /// <summary>
    /// Takes a result. The first valid one of a group wins; a second one must have the same digest. The upload's buffer is owned by the
    /// run if the result is accepted, else by the caller.
    /// </summary>
    /// <param name="worker">Who computed it.</param>
    /// <param name="reference">The grant.</param>
    /// <param name="outcome">Sums and counts.</param>
    /// <param name="upload">The gradient; null for groups without one.</param>
    /// <param name="gradientSha256">The hash the worker sent, or null where there was no wire between.</param>
    internal SubmitVerdict Submit(
        WorkerSession worker, GrantReference reference, GroupOutcome outcome, GradientUpload? upload, string? gradientSha256)
    {
        SubmitVerdict verdict;
        try
        {
            verdict = SubmitOnce(worker, reference, outcome, upload, gradientSha256);
        }
        catch (RunStorageException fault)
        {
            Suspend(fault);
            verdict = new SubmitVerdict(SubmitStatus.Stale, fault.Message);
        }

        if (verdict.Status == SubmitStatus.Invalid)
        {
            Reject(worker, reference, verdict.Reason);
            CountWrong(worker, verdict.Reason);
        }

        ShutOutLiars();

        if (verdict.Status != SubmitStatus.Accepted)
        {
            _events.Enqueue(new ResultRefused(Plan.RunId, reference.Group, worker.Name, verdict));
        }

        Publish();
        Wake();
        return verdict;
    }

    /// <summary>Takes back a group from a worker that could not compute it.</summary>
    internal void Reject(WorkerSession worker, GrantReference reference, string reason)
    {
        var failure = default(string);
        lock (_gate)
        {
            if (StaleReason(reference) is null && _work!.Find(reference.Group) is { Done: false } work && work.WasGranted(worker.Name, reference.Attempt))
            {
                _work.Release(work, reference.Attempt);
                work.Tried.Add(worker.Name);
                _events.Enqueue(new GroupReleased(Plan.RunId, reference.Group, worker.Name, reason));
                if (++work.Failures >= _options.AttemptsPerGroup)
                {
                    failure = string.Create(
                        CultureInfo.InvariantCulture, $"The {reference.Group} failed {work.Failures} times, last on worker {worker.Name}: {reason}");
                }
            }
        }

        if (failure is not null)
        {
            Fail(failure);
        }

        Publish();
        _workAppeared();
        Wake();
    }

    /// <summary>Gives a lost worker's groups out again, at once.</summary>
    internal void ReleaseWorker(WorkerSession worker, string reason, int workersLeft)
    {
        lock (_gate)
        {
            if (_run.Ended)
            {
                return;
            }

            var released = _work?.ReleaseAll(worker) ?? [];
            _events.Enqueue(new WorkerLeft(Plan.RunId, worker.Name, worker.Rank, reason, released.Count, workersLeft));
        }

        Publish();
        _workAppeared();
    }

    /// <summary>Takes back leases without progress and lets idle workers know of overdue groups.</summary>
    internal void Sweep()
    {
        bool useful;
        lock (_gate)
        {
            if (_work is not { } work || _run.Stage is null || _suspended is not null)
            {
                return;
            }

            _halfSent.DropOld();
            var expired = work.ReleaseExpired();
            foreach (var (group, lease) in expired)
            {
                _events.Enqueue(new GroupReleased(
                    Plan.RunId,
                    GroupKey.Of(group.Spec),
                    lease.Worker.Name,
                    string.Create(CultureInfo.InvariantCulture, $"no progress for {_options.LeaseDuration.TotalSeconds:0.#} s")));
            }

            useful = expired.Count > 0 || work.IsWorthAsking();
        }

        WatchDisputes();
        Publish();
        if (useful)
        {
            _workAppeared();
        }
    }

    private Grant ToGrant(OpenStage stage, StageWork.GroupWork work, Lease lease) =>
        new(work.Spec, stage.AdapterSha256, lease.Attempt, _options.LeaseDuration, _run.Term, _span?.Id, lease.Revoked);

    private SubmitVerdict SubmitOnce(
        WorkerSession worker, GrantReference reference, GroupOutcome outcome, GradientUpload? upload, string? gradientSha256)
    {
        GroupSpec spec;
        lock (_gate)
        {
            if (Refusal(worker, reference) is { } refusal)
            {
                return refusal;
            }

            spec = _work!.Find(reference.Group)!.Spec;
        }

        // Hashing is the long part and needs no state.
        if (ResultCheck.FindFault(spec, outcome, upload) is { } fault)
        {
            return new SubmitVerdict(SubmitStatus.Invalid, fault);
        }

        // A disk that failed is nobody's result.
        if (upload?.Spool is { } written)
        {
            _store!.Require(written);
        }

        if (ResultCheck.FindNonFinite(outcome, upload, Plan.Layout) is { } nonFinite)
        {
            return TakeNonFinite(worker, reference, outcome, upload, nonFinite);
        }

        var sha256 = upload?.Sha256 ?? string.Empty;
        if (gradientSha256 is not null && !string.Equals(gradientSha256, sha256, StringComparison.Ordinal))
        {
            return new SubmitVerdict(SubmitStatus.Invalid, $"the gradient's SHA-256 is {sha256}, the worker sent {gradientSha256}");
        }

        // Durable before it is taken, and outside of the gate: the bytes of one result never wait for those of another.
        var accepting = _time.GetTimestamp();
        SpoolPlace? spooled = upload?.Spool is not { } slot || IsDone(reference.Group) ? null : _store!.Keep(slot);
        var verdict = Take(worker, reference, outcome, upload, ResultDigest.Of(outcome, sha256), spooled, accepting);
        if (verdict.Status != SubmitStatus.Accepted && spooled is { } place)
        {
            _store!.Free(place);
        }

        return verdict;
    }

    private SubmitVerdict Take(WorkerSession worker, GrantReference reference, GroupOutcome outcome, GradientUpload? upload, string digest, SpoolPlace? spooled, long accepting)
    {
        GroupDone done;
        ReductionTree? reduction;
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

            if (Judge(reference.Group, worker, digest) is { } verdict)
            {
                return verdict;
            }

            if (_store is not null && upload is not null && spooled is null)
            {
                return new SubmitVerdict(SubmitStatus.Stale, "the result it was compared with is gone");
            }

            done = new GroupDone(reference.Group, reference.Attempt, worker.Name, digest, outcome) { Spool = spooled };
            Record(done);
            _work!.Waited(worker, _time.GetElapsedTime(accepting));
            _work.Finish(_work.Find(reference.Group)!, worker, reference.Attempt, outcome);
            reduction = _reduction;
            ForgetResultsOfLiars(reference.Group);
            reduction = ReferenceEquals(reduction, _reduction) ? reduction : null;
        }

        if (upload is not null && reduction is not null)
        {
            if (upload.Detach() is { } gradient)
            {
                reduction.Add(reference.Group.Index, gradient);
            }
            else
            {
                reduction.Add(reference.Group.Index, new KeptGradient(done, Plan.Layout.Length, _store));
            }
        }

        return new SubmitVerdict(SubmitStatus.Accepted, string.Empty);
    }

    private SubmitVerdict Compare(GroupDone first, WorkerSession worker, string digest)
    {
        if (string.Equals(first.Digest, digest, StringComparison.Ordinal))
        {
            return new SubmitVerdict(SubmitStatus.Duplicate, "the group has this result already");
        }

        return Dispute(first, worker, digest);
    }

    // The result of a lease that has ended is welcome; that of a grant the worker never had cannot be right.
    private SubmitVerdict? Refusal(WorkerSession worker, GrantReference reference)
    {
        if (StaleReason(reference) is { } stale)
        {
            return new SubmitVerdict(SubmitStatus.Stale, stale);
        }

        return _work!.Find(reference.Group)!.WasGranted(worker.Name, reference.Attempt)
            ? null
            : new SubmitVerdict(SubmitStatus.Invalid, string.Create(CultureInfo.InvariantCulture, $"attempt {reference.Attempt} at the {reference.Group} was never granted to worker {worker.Name}"));
    }

    private string? StaleReason(GrantReference reference)
    {
        if (_suspended is not null)
        {
            return "the run's folder cannot be written; the coordinator stops and comes back";
        }

        if (reference.Term != _run.Term)
        {
            return string.Create(CultureInfo.InvariantCulture, $"the term is {_run.Term}, the message has {reference.Term}");
        }

        if (_run.Stage is not { } stage || _work?.Find(reference.Group) is null)
        {
            return string.Create(CultureInfo.InvariantCulture, $"the {reference.Group} is not open; the run is {_run.State} at step {_run.Steps.Count}");
        }

        return string.Equals(stage.AdapterSha256, reference.AdapterSha256, StringComparison.Ordinal)
            ? null
            : $"the adapter is {stage.AdapterSha256}, the message has {reference.AdapterSha256}";
    }

    private bool IsDone(GroupKey group) => Run.Stage?.Done.ContainsKey(group) == true;
}
