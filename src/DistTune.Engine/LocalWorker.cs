using System.Diagnostics;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>Drives a computer in this process: one loop a slot pulls, computes and submits, without a wire between.</summary>
public sealed class LocalWorker(RunRegistry registry, WorkerSession session, IGroupComputer computer)
{
    private static readonly TimeSpan PullWait = TimeSpan.FromSeconds(30);

    /// <summary>Works until the registry drains, a slot fails, or the token is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var slots = Enumerable.Range(0, computer.Slots).Select(_ => Task.Run(() => RunSlotAsync(stop), CancellationToken.None)).ToArray();
        await Task.WhenAll(slots).ConfigureAwait(false);
    }

    private async Task RunSlotAsync(CancellationTokenSource stop)
    {
        try
        {
            while (true)
            {
                var answer = await registry.PullAsync(session, 1, PullWait, stop.Token).ConfigureAwait(false);
                foreach (var grant in answer.Grants)
                {
                    await ComputeAsync(grant, stop.Token).ConfigureAwait(false);
                }

                if (answer.Drain)
                {
                    return;
                }
            }
        }
        catch
        {
            // One broken slot breaks the worker: the other slots would only wait for groups that never come.
            await stop.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }

    private async Task ComputeAsync(Grant grant, CancellationToken cancellationToken)
    {
        var reference = GrantReference.To(grant);
        var run = registry.Find(reference.RunId);
        var adapter = run.Adapter;
        GradientUpload? upload = null;
        if (grant.Group.Kind == GroupKind.Train)
        {
            (upload, _) = registry.BeginUpload(session, reference);
        }

        using var owned = upload;
        if (adapter.Sha256 != grant.AdapterSha256 || (upload is null && grant.Group.Kind == GroupKind.Train))
        {
            return;
        }

        using var wanted = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, grant.Revoked);
        try
        {
            var sink = new UploadSink(registry, reference, upload);
            var outcome = await computer.ComputeAsync(grant.Group, adapter, sink, wanted.Token).ConfigureAwait(false);
            registry.Submit(session, reference, outcome, upload, gradientSha256: null);
        }
        catch (OperationCanceledException) when (grant.Revoked.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // Another worker's result won; there is nothing to report.
        }
    }

    private sealed class UploadSink(RunRegistry registry, GrantReference reference, GradientUpload? upload) : IGradientSink
    {
        private readonly Lock _gate = new();

        public void Write(long offset, ReadOnlySpan<float> values)
        {
            lock (_gate)
            {
                var fault = upload is null ? "the group has no gradient" : upload.Write(offset, values);
                if (fault is not null)
                {
                    throw new UnreachableException($"The computer wrote a wrong part for the {reference.Group}: {fault}.");
                }
            }

            registry.Progress(reference);
        }

        public void Progress() => registry.Progress(reference);
    }
}
