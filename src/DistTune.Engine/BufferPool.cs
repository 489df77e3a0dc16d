using System.Collections.Concurrent;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>Flat vectors of one layout's length, used again from step to step so that the large-object heap stays still.</summary>
/// <param name="layout">The layout.</param>
/// <param name="most">How many there may be before <see cref="TryRent"/> says no.</param>
internal sealed class BufferPool(ParameterLayout layout, int most = int.MaxValue)
{
    private readonly ConcurrentBag<float[]> _free = [];
    private readonly int _length = checked((int)layout.Length);
    private int _created;

    /// <summary>How many vectors were ever made: the peak of what was in use at once.</summary>
    public int Created => Volatile.Read(ref _created);

    /// <summary>A vector with unspecified content, for what cannot do without one.</summary>
    public float[] Rent()
    {
        if (_free.TryTake(out var buffer))
        {
            return buffer;
        }

        Interlocked.Increment(ref _created);
        return new float[_length];
    }

    /// <summary>A vector with unspecified content, or null if there are enough already.</summary>
    public float[]? TryRent()
    {
        if (_free.TryTake(out var buffer))
        {
            return buffer;
        }

        if (Interlocked.Increment(ref _created) <= most)
        {
            return new float[_length];
        }

        Interlocked.Decrement(ref _created);
        return null;
    }

    public void Return(float[] buffer) => _free.Add(buffer);
}
