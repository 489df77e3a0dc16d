using System.Collections.Concurrent;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>Flat vectors of one layout's length, used again from step to step so that the large-object heap stays still.</summary>
internal sealed class BufferPool(ParameterLayout layout)
{
    private readonly ConcurrentBag<float[]> _free = [];
    private readonly int _length = checked((int)layout.Length);
    private int _created;

    /// <summary>How many vectors were ever made: the peak of what was in use at once.</summary>
    public int Created => Volatile.Read(ref _created);

    /// <summary>A vector with unspecified content.</summary>
    public float[] Rent()
    {
        if (_free.TryTake(out var buffer))
        {
            return buffer;
        }

        Interlocked.Increment(ref _created);
        return new float[_length];
    }

    public void Return(float[] buffer) => _free.Add(buffer);
}
