using System.Runtime.CompilerServices;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol.V1;
using Grant = DistTune.Protocol.V1.Grant;

namespace DistTune.Worker;

/// <summary>
/// A group's result from the first tensor to the coordinator's answer. It outlives connections: the computer goes on while there is none,
/// and what has not arrived is sent over the next. The flat vector stays here until it is acknowledged.
/// </summary>
internal sealed class GroupResult : IGradientSink, IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly List<(long Offset, int Length)> _parts = [];
    private readonly GradientHash _hash;
    private TaskCompletionSource _more = New();
    private int _hashed;

    /// <summary>Starts the computer.</summary>
    /// <param name="grant">What it is the result of.</param>
    /// <param name="vector">A vector of the layout's length whose gaps are zero; empty for groups without a gradient.</param>
    /// <param name="moved">See <see cref="Moved"/>.</param>
    /// <param name="compute">The computer.</param>
    /// <param name="abort">Gives up everything the worker holds.</param>
    public GroupResult(Grant grant, float[] vector, Action moved, Func<IGradientSink, CancellationToken, Task<GroupOutcome>> compute, CancellationToken abort)
    {
        Reference = grant.Reference;
        TraceParent = grant.TraceParent;
        Vector = vector;
        Moved = moved;
        Wanted = CancellationTokenSource.CreateLinkedTokenSource(abort);
        _hash = new GradientHash(vector);
        Outcome = Task.Run(() => compute(this, Wanted.Token), CancellationToken.None);
    }

    /// <summary>The grant that it is sent under: that of the current session.</summary>
    public GroupReference Reference { get; set; }

    public string TraceParent { get; }

    public float[] Vector { get; }

    /// <summary>Cancelled when nobody wants it any more.</summary>
    public CancellationTokenSource Wanted { get; }

    /// <summary>Called for every sign of progress.</summary>
    public Action Moved { get; set; }

    /// <summary>What the computer comes to.</summary>
    public Task<GroupOutcome> Outcome { get; }

    /// <summary>Seconds of waiting for the transport so far.</summary>
    public double UploadSeconds { get; set; }

    /// <summary>See <see cref="GradientHash"/>; empty for groups without a gradient. Only after all parts were taken.</summary>
    public string Sha256 => Vector.Length == 0 ? string.Empty : _hash.Finish();

    public void Write(long offset, ReadOnlySpan<float> values)
    {
        values.CopyTo(Vector.AsSpan(checked((int)offset), values.Length));
        TaskCompletionSource more;
        lock (_gate)
        {
            _parts.Add((offset, values.Length));
            (more, _more) = (_more, New());
        }

        more.TrySetResult();
        Moved();
    }

    public void Progress() => Moved();

    /// <summary>All parts from the first on, as they are finished, until the computer has ended in whatever way.</summary>
    public async IAsyncEnumerable<(long Offset, int Length)> PartsAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        for (var next = 0; ;)
        {
            var ended = Outcome.IsCompleted;
            (long Offset, int Length)? part;
            Task more;
            lock (_gate)
            {
                part = next < _parts.Count ? _parts[next] : null;
                more = _more.Task;
            }

            if (part is { } finished)
            {
                yield return finished;

                // Here rather than at the end, where the lane waits for it; once, however often a part is sent.
                if (next++ == _hashed)
                {
                    _hashed++;
                    _hash.Fill(finished.Offset, finished.Length);
                }
            }
            else if (ended)
            {
                yield break;
            }
            else
            {
                await Task.WhenAny(more, Outcome).WaitAsync(cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Stops the computer, if it has not ended, and waits until it has.</summary>
    public async ValueTask DisposeAsync()
    {
        await Wanted.CancelAsync().ConfigureAwait(false);
        await ((Task)Outcome).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Wanted.Dispose();
    }

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
