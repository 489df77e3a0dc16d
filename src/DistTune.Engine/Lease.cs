namespace DistTune.Engine;

/// <summary>One worker's claim on one group. Monotonic timestamps; progress renews it, a heartbeat does not.</summary>
internal sealed class Lease(WorkerSession worker, int attempt, long started)
{
    private readonly CancellationTokenSource _revoked = new();

    public WorkerSession Worker { get; } = worker;

    public int Attempt { get; } = attempt;

    public long Started { get; } = started;

    public long Renewed { get; set; } = started;

    public CancellationToken Revoked => _revoked.Token;

    public void Revoke() => _revoked.Cancel();
}
