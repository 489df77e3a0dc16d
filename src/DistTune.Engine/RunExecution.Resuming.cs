namespace DistTune.Engine;

/// <content>Results whose connection was lost on the way: what has arrived is kept, and the worker sends the rest when it is back.</content>
public sealed partial class RunExecution
{
    private readonly HalfSentUploads _halfSent;

    /// <summary>Keeps an upload whose connection was lost, if it is still wanted and has a place to wait in.</summary>
    internal void KeepHalfSent(WorkerSession worker, GrantReference reference, GradientUpload upload)
    {
        if (upload.Spool is null || !upload.Received.Any())
        {
            upload.Dispose();
            return;
        }

        upload.LeaveMemory();
        lock (_gate)
        {
            if (StaleReason(reference) is null && !_run.Stage!.Done.ContainsKey(reference.Group))
            {
                _halfSent.Put(reference.Group, worker.Name, upload);
                return;
            }
        }

        upload.Dispose();
    }

    /// <summary>Says what is here of a worker's result, and leases the group to its new session.</summary>
    internal UploadAnswer QueryUpload(WorkerSession worker, GrantReference reference)
    {
        lock (_gate)
        {
            // The worker names the result by what it was granted in a session that is over, perhaps in a term that is.
            if (StaleReason(reference with { Term = _run.Term }) is { } stale)
            {
                return new UploadAnswer(UploadState.Stale, [], null, stale);
            }

            var (stage, work) = (_run.Stage!, _work!.Find(reference.Group)!);
            if (stage.Done.ContainsKey(reference.Group))
            {
                return new UploadAnswer(UploadState.Done, [], null, "the group has its result");
            }

            if (worker.Gone || !IsFor(worker, work))
            {
                return new UploadAnswer(UploadState.Stale, [], null, $"the {reference.Group} is for another worker now");
            }

            var grant = ToGrant(stage, work, _work.Claim(work, worker));
            return _halfSent.Find(reference.Group, worker.Name) is { } upload
                ? new UploadAnswer(UploadState.Partial, [.. upload.Received], grant, string.Empty)
                : new UploadAnswer(UploadState.Unknown, [], grant, string.Empty);
        }
    }

    /// <summary>Goes on with an upload that was half sent.</summary>
    internal (GradientUpload? Upload, SubmitVerdict Refusal) ResumeUpload(WorkerSession worker, GrantReference reference)
    {
        lock (_gate)
        {
            if (StaleReason(reference) is { } stale)
            {
                return (null, new SubmitVerdict(SubmitStatus.Stale, stale));
            }

            return _halfSent.Take(reference.Group, worker.Name) is { } upload
                ? (upload, default)
                : (null, new SubmitVerdict(SubmitStatus.Unknown, $"what had arrived of the {reference.Group} is not kept any more"));
        }
    }

    /// <summary>Whether a grant's lease still runs.</summary>
    internal bool IsLeased(GrantReference reference)
    {
        lock (_gate)
        {
            return StaleReason(reference) is null && _work!.Find(reference.Group)!.Leases.Exists(lease => lease.Attempt == reference.Attempt);
        }
    }
}
