using DistTune.Engine.Storage;

namespace DistTune.Engine.Journal;

/// <summary>
/// A gradient's place in the spool while it comes in: blocks are written as they are whole, so that little is left to flush when the last
/// one is there. What could not be written is reported when the gradient is to be kept. Used by one thread at a time.
/// </summary>
internal sealed class SpoolSlot(GradientSpool spool, IStorageFile file, SpoolPlace place) : IDisposable
{
    private Exception? _fault;
    private bool _kept;

    /// <summary>Writes a block.</summary>
    public void Write(long offset, ReadOnlySpan<float> values)
    {
        if (_fault is not null)
        {
            return;
        }

        try
        {
            var first = place.Offset + (offset * sizeof(float));
            VectorFile.Write(file, first, values);
            file.BeginFlush(first, (long)values.Length * sizeof(float));
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            _fault = fault;
        }
    }

    /// <summary>Makes what was written durable. From now on the place is the caller's to free.</summary>
    /// <exception cref="IOException">It could not be written.</exception>
    public SpoolPlace Keep()
    {
        if (_fault is not null)
        {
            throw new IOException(_fault.Message, _fault);
        }

        file.Flush();
        _kept = true;
        return place;
    }

    /// <summary>Gives the place back, unless it was kept.</summary>
    public void Dispose()
    {
        if (!_kept)
        {
            _kept = true;
            spool.Free(place);
        }
    }
}
