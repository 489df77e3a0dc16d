using System.Diagnostics;
using System.Numerics;

namespace DistTune.Engine;

/// <summary>
/// Adds the gradients of a step's groups in an aligned pairwise tree over the group index, in fp32. The tree is that of the next power
/// of two; a node without a right child passes its left child through. Which additions happen depends on the number of groups alone,
/// so the sum is the same bits for any order of arrival; a node is computed as soon as both its children are there and the pool has a
/// vector for it. Groups that are kept outside of memory wait there, and after the last one is in they are added from left to right: that
/// takes one vector a level beyond those of the pool.
/// </summary>
internal sealed class ReductionTree
{
    private readonly BufferPool _pool;
    private readonly float[]?[][] _waiting;
    private readonly KeptGradient?[] _kept;
    private readonly Lock _gate = new();
    private long _addTicks;
    private int _keptCount;
    private int _arrived;
    private bool _released;

    public ReductionTree(int groups, BufferPool pool)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(groups, 1);
        _pool = pool;
        _kept = new KeptGradient[groups];
        var levels = BitOperations.Log2(BitOperations.RoundUpToPowerOf2((uint)groups)) + 1;
        _waiting = new float[levels][][];
        for (var level = 0; level < levels; level++)
        {
            _waiting[level] = new float[groups][];
            groups = (groups + 1) / 2;
        }
    }

    /// <summary>The sum of all groups, once the last one is in.</summary>
    public float[]? Root { get; private set; }

    /// <summary>Time spent adding, summed over threads.</summary>
    public TimeSpan AddTime => Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _addTicks));

    /// <summary>Takes a group's gradient, owning the buffer from now on, and adds what can be added.</summary>
    /// <returns>Whether this completed the root.</returns>
    public bool Add(int group, float[] gradient)
    {
        bool last;
        lock (_gate)
        {
            last = ++_arrived == _kept.Length;
        }

        return Climb(0, group, gradient) | AddKept(last);
    }

    /// <summary>Takes a group's gradient that is not in memory, and adds what can be added.</summary>
    /// <returns>Whether this completed the root.</returns>
    /// <exception cref="Storage.RunStorageException">A kept gradient is not what it was any more; the tree is of no use.</exception>
    public bool Add(int group, KeptGradient gradient)
    {
        bool last;
        float[]? partner = null;
        lock (_gate)
        {
            // Counted as it is kept, so that whoever brings the last group finds it.
            last = ++_arrived == _kept.Length;
            if (Sibling(0, group) is { } sibling && _waiting[0][sibling] is { } waiting)
            {
                partner = waiting;
                _waiting[0][sibling] = null;
            }
            else if (!_released)
            {
                _kept[group] = gradient;
                _keptCount++;
            }
        }

        var completed = false;
        if (partner is not null)
        {
            Timed(() => gradient.AddTo(partner));
            completed = Climb(1, group / 2, partner);
        }

        return completed | AddKept(last);
    }

    /// <summary>Gives all buffers back; what was added is lost, and what is still being added will be.</summary>
    public void Release()
    {
        lock (_gate)
        {
            _released = true;
            Array.Clear(_kept);
            _keptCount = 0;
            foreach (var level in _waiting)
            {
                for (var i = 0; i < level.Length; i++)
                {
                    if (level[i] is { } buffer)
                    {
                        _pool.Return(buffer);
                        level[i] = null;
                    }
                }
            }

            if (Root is { } root)
            {
                _pool.Return(root);
                Root = null;
            }
        }
    }

    private int? Sibling(int level, int index) => (index ^ 1) < _waiting[level].Length ? index ^ 1 : null;

    private bool Climb(int level, int index, float[] sum)
    {
        for (; level < _waiting.Length - 1; level++, index /= 2)
        {
            if (Sibling(level, index) is not { } sibling)
            {
                continue;
            }

            float[]? partner;
            KeptGradient? kept = null;
            lock (_gate)
            {
                partner = _waiting[level][sibling];
                _waiting[level][sibling] = null;
                if (partner is null && level == 0)
                {
                    kept = TakeKept(sibling);
                }

                if (partner is null && kept is null)
                {
                    if (_released)
                    {
                        _pool.Return(sum);
                    }
                    else
                    {
                        _waiting[level][index] = sum;
                    }

                    return false;
                }
            }

            // Addition of two is commutative in fp32, so it doesn't matter which of the two buffers takes the sum.
            if (partner is not null)
            {
                Timed(() => FlatVector.AddTo(sum, partner));
                _pool.Return(partner);
            }
            else
            {
                Timed(() => kept!.AddTo(sum));
            }
        }

        lock (_gate)
        {
            Root = sum;
        }

        return true;
    }

    // Pairs of kept groups, from left to right. Whoever brought the last group goes on until none is left, whatever it takes.
    private bool AddKept(bool last)
    {
        var completed = false;
        while (Volatile.Read(ref _keptCount) > 0 && (_pool.TryRent() ?? (last ? _pool.Rent() : null)) is { } sum)
        {
            if (TakePair() is not var (first, left, right))
            {
                _pool.Return(sum);
                break;
            }

            Timed(() =>
            {
                left.CopyTo(sum);
                right?.AddTo(sum);
            });
            completed |= Climb(right is null ? 0 : 1, right is null ? first : first / 2, sum);
        }

        return completed;
    }

    private (int First, KeptGradient Left, KeptGradient? Right)? TakePair()
    {
        lock (_gate)
        {
            for (var first = 0; first < _kept.Length; first += 2)
            {
                var alone = first + 1 == _kept.Length;
                if (_kept[first] is not null && (alone || _kept[first + 1] is not null))
                {
                    return (first, TakeKept(first)!, alone ? null : TakeKept(first + 1));
                }
            }
        }

        return null;
    }

    private KeptGradient? TakeKept(int group)
    {
        var kept = _kept[group];
        if (kept is not null)
        {
            _kept[group] = null;
            _keptCount--;
        }

        return kept;
    }

    private void Timed(Action add)
    {
        var started = Stopwatch.GetTimestamp();
        add();
        Interlocked.Add(ref _addTicks, Stopwatch.GetTimestamp() - started);
    }
}
