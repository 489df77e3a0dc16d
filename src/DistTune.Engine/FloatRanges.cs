namespace DistTune.Engine;

/// <summary>Part of a flat vector, in floats.</summary>
/// <param name="Start">The first.</param>
/// <param name="End">The one after the last.</param>
public readonly record struct FloatRange(long Start, long End);

/// <summary>
/// Which floats of a vector are there. Ranges are kept disjoint and merged with their neighbours: parts come nearly in order, so they
/// stay few.
/// </summary>
internal sealed class FloatRanges
{
    private readonly SortedList<long, long> _ranges = [];

    public int Count => _ranges.Count;

    /// <summary>The ranges in order.</summary>
    public IEnumerable<FloatRange> All => _ranges.Select(range => new FloatRange(range.Key, range.Value));

    /// <returns>False if some of it was there already.</returns>
    public bool TryAdd(long start, long end)
    {
        var next = IndexOfFirstAtOrAfter(start);
        if ((next < _ranges.Count && _ranges.Keys[next] < end) || (next > 0 && _ranges.Values[next - 1] > start))
        {
            return false;
        }

        if (next < _ranges.Count && _ranges.Keys[next] == end)
        {
            end = _ranges.Values[next];
            _ranges.RemoveAt(next);
        }

        if (next > 0 && _ranges.Values[next - 1] == start)
        {
            _ranges[_ranges.Keys[next - 1]] = end;
        }
        else
        {
            _ranges.Add(start, end);
        }

        return true;
    }

    public bool Covers(long start, long end)
    {
        var next = IndexOfFirstAtOrAfter(start + 1);
        return next > 0 && _ranges.Values[next - 1] >= end;
    }

    private int IndexOfFirstAtOrAfter(long start)
    {
        int low = 0, high = _ranges.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = _ranges.Keys[middle] < start ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}
