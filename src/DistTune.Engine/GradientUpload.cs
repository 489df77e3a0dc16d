using System.Buffers;
using DistTune.Core.Training;
using DistTune.Engine.Journal;

namespace DistTune.Engine;

/// <summary>
/// A gradient on its way in. Parts may come in any order, each element once; nothing of it is visible until it is complete. It is held
/// in a vector of the pool while there are enough; where there are not, it lies in the spool alone, and each block is read back once, to
/// be hashed when it is whole. Used by one thread at a time.
/// </summary>
public sealed class GradientUpload : IDisposable
{
    // Beyond one range a tensor: parts that leave holes between them are filled up soon.
    private const int SpareRanges = 1024;
    private static readonly float[] Zeros = new float[64];
    private readonly ParameterLayout _layout;
    private readonly BufferPool _pool;
    private readonly FloatRanges _received = new();
    private readonly GradientHash _hash;
    private float[]? _buffer;
    private float[]? _block;
    private bool _begun;
    private bool _ended;

    internal GradientUpload(ParameterLayout layout, BufferPool pool, SpoolSlot? spool = null)
    {
        _layout = layout;
        _pool = pool;
        _hash = new GradientHash(layout.Length, TakeBlock);
        Spool = spool;
    }

    /// <summary>Takes a part of the flat vector.</summary>
    /// <returns>Null, or why the part cannot belong to a gradient of this layout.</returns>
    public string? Write(long offset, ReadOnlySpan<float> values)
    {
        Begin();
        if (offset < 0 || offset > _layout.Length || values.Length > _layout.Length - offset)
        {
            return FormattableString.Invariant($"floats [{offset}, {offset}+{values.Length}) lie outside of the layout's {_layout.Length}");
        }

        if (values.IsEmpty)
        {
            return null;
        }

        var end = offset + values.Length;
        if (!_received.TryAdd(offset, end))
        {
            return FormattableString.Invariant($"floats [{offset}, {end}) were sent twice");
        }

        if (_received.Count > _layout.Entries.Length + SpareRanges)
        {
            return FormattableString.Invariant($"the parts leave {_received.Count} holes between them; a gradient of {_layout.Entries.Length} tensors comes in larger parts");
        }

        Store(offset, values);
        _hash.Fill(offset, values.Length);
        GiveBack();
        return null;
    }

    /// <summary>Ends the upload: clears the layout's gaps and checks that every tensor is there.</summary>
    /// <returns>Null, or what is missing.</returns>
    internal string? Complete()
    {
        Begin();
        long gap = 0;
        foreach (var entry in _layout.Entries)
        {
            if (!_received.Covers(entry.Offset, entry.Offset + entry.Length))
            {
                return $"the gradient of {entry.Name} is not complete";
            }

            Clear(gap, entry.Offset);
            gap = entry.Offset + entry.Length;
        }

        Clear(gap, _layout.Length);
        Sha256 = _hash.Finish();
        GiveBack();
        return null;
    }

    /// <summary>See <see cref="GradientHash"/>; empty before <see cref="Complete"/>.</summary>
    internal string Sha256 { get; private set; } = string.Empty;

    /// <summary>Where the gradient is spooled as it comes; null in a run that keeps nothing.</summary>
    internal SpoolSlot? Spool { get; }

    /// <summary>What has come so far.</summary>
    internal IEnumerable<FloatRange> Received => _received.All;

    /// <summary>The first value that is NaN or infinite, of the blocks that are whole.</summary>
    internal (long Index, float Value)? NonFinite { get; private set; }

    /// <summary>The values, if they are in memory; only complete after <see cref="Complete"/>.</summary>
    internal ReadOnlySpan<float> Values => _buffer;

    /// <summary>Hands the vector over, or returns null if the gradient lies in the spool alone.</summary>
    internal float[]? Detach()
    {
        Begin();
        var buffer = _buffer;
        _buffer = null;
        _ended = true;
        return buffer;
    }

    /// <summary>Gives the vector back; what has come stays in the spool, and more may come.</summary>
    internal void LeaveMemory()
    {
        Begin();
        if (_buffer is not { } buffer)
        {
            return;
        }

        foreach (var (start, end) in _received.All)
        {
            for (var offset = start; offset < end;)
            {
                var count = (int)(Math.Min(end, ((offset / GradientHash.BlockFloats) + 1) * GradientHash.BlockFloats) - offset);
                if (!_hash.IsWhole(offset))
                {
                    Spool!.Write(offset, buffer.AsSpan((int)offset, count));
                }

                offset += count;
            }
        }

        _buffer = null;
        _pool.Return(buffer);
    }

    /// <summary>Gives the vector back, and the place in the spool if it was not kept.</summary>
    public void Dispose()
    {
        _ended = true;
        Spool?.Dispose();
        if (_buffer is { } buffer)
        {
            _buffer = null;
            _pool.Return(buffer);
        }
    }

    // Only now: a worker may compute for long before it has anything to send.
    private void Begin()
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        if (!_begun)
        {
            _begun = true;
            _buffer = Spool is null ? _pool.Rent() : _pool.TryRent();
        }
    }

    private void Store(long offset, ReadOnlySpan<float> values)
    {
        if (_buffer is { } buffer)
        {
            values.CopyTo(buffer.AsSpan((int)offset));
        }
        else
        {
            Spool!.Write(offset, values);
        }
    }

    private void Clear(long start, long end)
    {
        for (; start < end; start += Zeros.Length)
        {
            Store(start, Zeros.AsSpan(0, (int)Math.Min(Zeros.Length, end - start)));
        }
    }

    private ReadOnlySpan<float> TakeBlock(long offset, int length)
    {
        ReadOnlySpan<float> values;
        if (_buffer is { } buffer)
        {
            values = buffer.AsSpan((int)offset, length);
            Spool?.Write(offset, values);
        }
        else
        {
            _block ??= ArrayPool<float>.Shared.Rent(GradientHash.BlockFloats);
            Spool!.Read(offset, _block.AsSpan(0, length));
            values = _block.AsSpan(0, length);
        }

        Spool?.BeginFlush(offset, length);
        var index = FlatVector.IndexOfNonFinite(values);
        if (index >= 0 && !(NonFinite?.Index < offset))
        {
            NonFinite = (offset + index, values[index]);
        }

        return values;
    }

    private void GiveBack()
    {
        if (_block is { } block)
        {
            _block = null;
            ArrayPool<float>.Shared.Return(block);
        }
    }
}
