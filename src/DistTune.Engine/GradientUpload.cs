using DistTune.Core.Training;
using DistTune.Engine.Journal;

namespace DistTune.Engine;

/// <summary>
/// A gradient on its way in. Parts may come in any order, each element once; nothing of it is visible until it is complete. Used by
/// one thread at a time.
/// </summary>
public sealed class GradientUpload : IDisposable
{
    private readonly ParameterLayout _layout;
    private readonly BufferPool _pool;
    private readonly SortedList<long, long> _received = [];
    private readonly GradientHash _hash;
    private readonly Action<long, int>? _hashed;
    private float[]? _buffer;

    internal GradientUpload(ParameterLayout layout, BufferPool pool, SpoolSlot? spool = null)
    {
        _layout = layout;
        _pool = pool;
        _buffer = pool.Rent();
        _hash = new GradientHash(_buffer.Length);
        Spool = spool;
        _hashed = spool is null ? null : (offset, length) => spool.Write(offset, _buffer.AsSpan((int)offset, length));
    }

    /// <summary>Takes a part of the flat vector.</summary>
    /// <returns>Null, or why the part cannot belong to a gradient of this layout.</returns>
    public string? Write(long offset, ReadOnlySpan<float> values)
    {
        var buffer = _buffer ?? throw new ObjectDisposedException(nameof(GradientUpload));
        if (offset < 0 || offset > buffer.Length || values.Length > buffer.Length - offset)
        {
            return FormattableString.Invariant($"floats [{offset}, {offset}+{values.Length}) lie outside of the layout's {buffer.Length}");
        }

        if (values.IsEmpty)
        {
            return null;
        }

        var end = offset + values.Length;
        if (!TryCover(offset, end))
        {
            return FormattableString.Invariant($"floats [{offset}, {end}) were sent twice");
        }

        values.CopyTo(buffer.AsSpan((int)offset));
        _hash.Fill(buffer, offset, values.Length, _hashed);
        return null;
    }

    /// <summary>Ends the upload: clears the layout's gaps and checks that every tensor is there.</summary>
    /// <returns>Null, or what is missing.</returns>
    internal string? Complete()
    {
        var buffer = _buffer ?? throw new ObjectDisposedException(nameof(GradientUpload));
        long gap = 0;
        foreach (var entry in _layout.Entries)
        {
            if (!Covers(entry.Offset, entry.Offset + entry.Length))
            {
                return $"the gradient of {entry.Name} is not complete";
            }

            buffer.AsSpan((int)gap, (int)(entry.Offset - gap)).Clear();
            gap = entry.Offset + entry.Length;
        }

        buffer.AsSpan((int)gap).Clear();
        Sha256 = _hash.Finish(buffer, _hashed);
        return null;
    }

    /// <summary>See <see cref="GradientHash"/>; empty before <see cref="Complete"/>.</summary>
    internal string Sha256 { get; private set; } = string.Empty;

    /// <summary>Where the gradient is spooled as it comes; null in a run that keeps nothing.</summary>
    internal SpoolSlot? Spool { get; }

    /// <summary>The values; only complete after <see cref="Complete"/>.</summary>
    internal ReadOnlySpan<float> Values => _buffer;

    /// <summary>Hands the buffer over; disposing then does nothing.</summary>
    internal float[] Detach()
    {
        var buffer = _buffer ?? throw new ObjectDisposedException(nameof(GradientUpload));
        _buffer = null;
        return buffer;
    }

    /// <summary>Gives the buffer back, and the place in the spool if it was not kept.</summary>
    public void Dispose()
    {
        Spool?.Dispose();
        if (_buffer is { } buffer)
        {
            _buffer = null;
            _pool.Return(buffer);
        }
    }

    // Ranges are kept disjoint and merged with their neighbours: parts come nearly in order, so the list stays a few entries long.
    private bool TryCover(long start, long end)
    {
        var next = IndexOfFirstAtOrAfter(start);
        if ((next < _received.Count && _received.Keys[next] < end) || (next > 0 && _received.Values[next - 1] > start))
        {
            return false;
        }

        if (next < _received.Count && _received.Keys[next] == end)
        {
            end = _received.Values[next];
            _received.RemoveAt(next);
        }

        if (next > 0 && _received.Values[next - 1] == start)
        {
            _received[_received.Keys[next - 1]] = end;
        }
        else
        {
            _received.Add(start, end);
        }

        return true;
    }

    private bool Covers(long start, long end)
    {
        var next = IndexOfFirstAtOrAfter(start + 1);
        return next > 0 && _received.Values[next - 1] >= end;
    }

    private int IndexOfFirstAtOrAfter(long start)
    {
        int low = 0, high = _received.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = _received.Keys[middle] < start ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}
