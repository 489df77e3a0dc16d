using System.Diagnostics;
using System.Numerics;

namespace DistTune.Engine;

/// <summary>
/// Adds the gradients of a step's groups in an aligned pairwise tree over the group index, in fp32. The tree is that of the next power
/// of two; a node without a right child passes its left child through. Which additions happen depends on the number of groups alone,
/// so the sum is the same bits for any order of arrival; a node is computed as soon as both its children are there.
/// </summary>
internal sealed class ReductionTree
{
    private readonly BufferPool _pool;
    private readonly float[]?[][] _waiting;
    private readonly Lock _gate = new();
    private long _addTicks;

    public ReductionTree(int groups, BufferPool pool)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(groups, 1);
        _pool = pool;
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
        var index = group;
        for (var level = 0; level < _waiting.Length - 1; level++, index /= 2)
        {
            var sibling = index ^ 1;
            if (sibling >= _waiting[level].Length)
            {
                continue;
            }

            float[]? partner;
            lock (_gate)
            {
                partner = _waiting[level][sibling];
                _waiting[level][sibling] = null;
                if (partner is null)
                {
                    _waiting[level][index] = gradient;
                }
            }

            if (partner is null)
            {
                return false;
            }

            // Addition of two is commutative in fp32, so it doesn't matter which of the two buffers takes the sum.
            var started = Stopwatch.GetTimestamp();
            FlatVector.AddTo(gradient, partner);
            _pool.Return(partner);
            Interlocked.Add(ref _addTicks, Stopwatch.GetTimestamp() - started);
        }

        Root = gradient;
        return true;
    }

    /// <summary>Gives all buffers back; what was added is lost.</summary>
    public void Release()
    {
        lock (_gate)
        {
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
        }

        if (Root is { } root)
        {
            _pool.Return(root);
            Root = null;
        }
    }
}
