using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace DistTune.Engine;

/// <summary>Gives a whole block of a vector; it must stay as it is until the next one is asked for.</summary>
/// <param name="offset">The block's first float.</param>
/// <param name="length">Its length.</param>
public delegate ReadOnlySpan<float> BlockReader(long offset, int length);

/// <summary>
/// The address of a gradient by content: SHA-256 over the SHA-256 of each of its blocks of 256 KiB, in order. A backward pass ends with
/// the first layer, so parts come last to first; block by block they are hashed as they come. Used by one thread at a time.
/// </summary>
public sealed class GradientHash
{
    /// <summary>Floats of a whole block.</summary>
    public const int BlockFloats = 256 * 1024 / sizeof(float);

    private readonly BlockReader _read;
    private readonly byte[] _digests;
    private readonly int[] _missing;
    private readonly long _length;

    /// <param name="length">Floats of the vector.</param>
    /// <param name="read">Asked once for each block, when it is whole.</param>
    public GradientHash(long length, BlockReader read)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentNullException.ThrowIfNull(read);
        _length = length;
        _read = read;
        _missing = new int[checked((int)((length + BlockFloats - 1) / BlockFloats))];
        _digests = new byte[_missing.Length * SHA256.HashSizeInBytes];
        for (var block = 0; block < _missing.Length; block++)
        {
            _missing[block] = LengthOf(block);
        }
    }

    /// <summary>Hashes a vector that is filled part by part.</summary>
    /// <param name="vector">The vector.</param>
    public GradientHash(ReadOnlyMemory<float> vector)
        : this(vector.Length, (offset, length) => vector.Span.Slice((int)offset, length))
    {
    }

    /// <summary>The hash of a whole vector, lower-case hexadecimal.</summary>
    public static string Of(ReadOnlyMemory<float> vector) => new GradientHash(vector).Finish();

    /// <summary>A part of the vector has come, each element once: hashes the blocks that are whole now.</summary>
    /// <param name="offset">First float of the part.</param>
    /// <param name="length">Number of floats.</param>
    public void Fill(long offset, int length)
    {
        for (var end = offset + length; offset < end;)
        {
            var block = (int)(offset / BlockFloats);
            var count = (int)(Math.Min(end, (block + 1L) * BlockFloats) - offset);
            _missing[block] -= count;
            if (_missing[block] == 0)
            {
                Hash(block);
            }

            offset += count;
        }
    }

    /// <summary>Whether the block of a float is whole, and hashed.</summary>
    public bool IsWhole(long offset) => _missing[offset / BlockFloats] == 0;

    /// <summary>Hashes what is left, such as blocks with a layout's gaps, and returns the hash of the whole, lower-case hexadecimal.</summary>
    public string Finish()
    {
        for (var block = 0; block < _missing.Length; block++)
        {
            if (_missing[block] != 0)
            {
                _missing[block] = 0;
                Hash(block);
            }
        }

        return Convert.ToHexStringLower(SHA256.HashData(_digests));
    }

    private int LengthOf(int block) => (int)Math.Min(BlockFloats, _length - ((long)block * BlockFloats));

    private void Hash(int block)
    {
        var floats = _read((long)block * BlockFloats, LengthOf(block));
        SHA256.HashData(MemoryMarshal.AsBytes(floats), _digests.AsSpan(block * SHA256.HashSizeInBytes));
    }
}
