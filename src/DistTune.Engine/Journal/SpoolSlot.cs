using DistTune.Engine.Storage;

namespace DistTune.Engine.Journal;

/// <summary>
/// A gradient's place in the spool while it comes in: it is written as it comes, so that little is left to flush when the last block is
/// there. What could not be written is reported when the gradient is to be kept. Used by one thread at a time.
/// </summary>
internal sealed class SpoolSlot(GradientSpool spool, IStorageFile file, SpoolPlace place) : IDisposable
{
    private Exception? _fault;
    private bool _kept;

    /// <summary>Writes a part.</summary>
    public void Write(long offset, ReadOnlySpan<float> values)
    {
        if (_fault is not null)
        {
            return;
        }

        try
        {
            VectorFile.Write(file, PositionOf(offset), values);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            _fault = fault;
        }
    }

    /// <summary>Reads back what was written. Of a slot that failed the values mean nothing.</summary>
    public void Read(long offset, Span<float> values)
    {
        try
        {
            if (!VectorFile.TryRead(file, PositionOf(offset), values))
            {
                _fault ??= new EndOfStreamException("what was written is not in the file");
            }
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            _fault ??= fault;
        }
    }

    /// <summary>Has a block that is whole on its way to the disk.</summary>
    public void BeginFlush(long offset, int length) => file.BeginFlush(PositionOf(offset), (long)length * sizeof(float));

    /// <summary>Whether everything so far was written, and read, as it should be.</summary>
    /// <exception cref="IOException">It was not.</exception>
    public void Require()
    {
        if (_fault is not null)
        {
            throw new IOException(_fault.Message, _fault);
        }
    }

    /// <summary>Makes what was written durable. From now on the place is the caller's to free.</summary>
    /// <exception cref="IOException">It could not be written.</exception>
    public SpoolPlace Keep()
    {
        Require();
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

    private long PositionOf(long offset) => place.Offset + (offset * sizeof(float));
}
