using System.Collections.Concurrent;
using DistTune.Engine;

namespace DistTune.Coordinator;

/// <summary>
/// The uploads that are coming in. A worker that is back may be sooner than the news that its old connection is gone: its old upload is
/// ended first, so that what has arrived of it is known.
/// </summary>
internal sealed class OpenPushes
{
    private readonly ConcurrentDictionary<(string Worker, string RunId, GroupKey Group), OpenPush> _open = new();

    /// <summary>Takes note of an upload until it is disposed of.</summary>
    public OpenPush Open(WorkerSession worker, GrantReference reference, CancellationToken cancellationToken)
    {
        var key = (worker.Name, reference.RunId, reference.Group);
        var push = new OpenPush(cancellationToken, ended => _open.TryRemove(KeyValuePair.Create(key, ended)));
        _open[key] = push;
        return push;
    }

    /// <summary>Ends a worker's upload of a group, if there is one, and waits until what has arrived of it is put away.</summary>
    public async Task EndAsync(WorkerSession worker, GrantReference reference, CancellationToken cancellationToken)
    {
        if (_open.TryGetValue((worker.Name, reference.RunId, reference.Group), out var push))
        {
            await push.EndAsync(cancellationToken);
        }
    }
}

/// <summary>An upload that is coming in.</summary>
internal sealed class OpenPush(CancellationToken cancellationToken, Action<OpenPush> forget) : IDisposable
{
    private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Cancelled when the connection is gone, or the worker is back on another.</summary>
    public CancellationToken Stopped => _stop.Token;

    public Task EndAsync(CancellationToken cancellationToken)
    {
        try
        {
            _stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It has just ended by itself.
        }

        return _ended.Task.WaitAsync(cancellationToken);
    }

    public void Dispose()
    {
        forget(this);
        _ended.TrySetResult();
        _stop.Dispose();
    }
}
