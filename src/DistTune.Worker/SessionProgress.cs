using System.Collections.Concurrent;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;

namespace DistTune.Worker;

/// <summary>The grants that this worker computes: which of them made progress since the last report, and which are revoked.</summary>
internal sealed class SessionProgress
{
    private readonly ConcurrentDictionary<GrantReference, CancellationTokenSource> _held = new();
    private readonly ConcurrentDictionary<GrantReference, bool> _moved = new();

    public void Hold(GrantReference grant, CancellationTokenSource revoked) => _held[grant] = revoked;

    public void Release(GrantReference grant)
    {
        _held.TryRemove(grant, out _);
        _moved.TryRemove(grant, out _);
    }

    public void Moved(GrantReference grant) => _moved[grant] = true;

    public void Revoke(GrantReference grant)
    {
        if (!_held.TryGetValue(grant, out var revoked))
        {
            return;
        }

        try
        {
            revoked.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // Its lane has just finished it.
        }
    }

    /// <summary>The report of what moved since the last one.</summary>
    public SessionReport TakeReport(string sessionId)
    {
        var report = new SessionReport { SessionId = sessionId, PeakMemoryBytes = ProcessMemory.PeakBytes };
        foreach (var grant in _moved.Keys)
        {
            if (_moved.TryRemove(grant, out _))
            {
                report.Progress.Add(TrainingMapping.ToMessage(grant));
            }
        }

        return report;
    }
}
