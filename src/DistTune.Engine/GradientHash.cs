using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace DistTune.Engine;

/// <summary>
/// The address of a gradient by content: SHA-256 over the SHA-256 of each of its blocks of 256 KiB, in order. A backward pass ends with
/// the first layer, so parts come last to first; block by block they are hashed as they come. Used by one thread at a time.
/// </summary>
public sealed class GradientHash
{
    /// <summary>Floats of a whole block.</summary>
    public const int BlockFloats = 256 * 1024 / sizeof(float);

    private readonly byte[] _digests;
    private readonly int[] _missing;

    /// <param name="length">Floats of the vector.</param>
    public GradientHash(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        _missing = new int[checked((int)((length + BlockFloats - 1) / BlockFloats))];
        _digests = new byte[_missing.Length * SHA256.HashSizeInBytes];
        for (var block = 0; block < _missing.Length; block++)
        {
            _missing[block] = (int)Math.Min(BlockFloats, length - ((long)block * BlockFloats));
        }
    }

    /// <summary>The hash of a whole vector, lower-case hexadecimal.</summary>
    public static string Of(ReadOnlySpan<float> vector) => new GradientHash(vector.Length).Finish(vector);

    /// <summary>A part of the vector has come, each element once: hashes the blocks that are whole now.</summary>
    /// <param name="vector">The vector.</param>
    /// <param name="offset">First float of the part.</param>
    /// <param name="length">Number of floats.</param>
    /// <param name="hashed">Takes the first float and the length of each block that is whole, or null.</param>
    public void Fill(ReadOnlySpan<float> vector, long offset, int length, Action<long, int>? hashed = null)
    {
        for (var end = offset + length; offset < end;)
        {
            var block = (int)(offset / BlockFloats);
            var count = (int)Math.Min(end, (block + 1L) * BlockFloats) - (int)offset;
            _missing[block] -= count;
            if (_missing[block] == 0)
            {
                Hash(vector, block, hashed);
            }

            offset += count;
        }
    }

    /// <summary>Hashes what is left, such as blocks with a layout's gaps, and returns the hash of the whole, lower-case hexadecimal.</summary>
    public string Finish(ReadOnlySpan<float> vector, Action<long, int>? hashed = null)
    {
        for (var block = 0; block < _missing.Length; block++)
        {
            if (_missing[block] != 0)
            {
                _missing[block] = 0;
                Hash(vector, block, hashed);
            }
        }

        return Convert.ToHexStringLower(SHA256.HashData(_digests));
    }

    private void Hash(ReadOnlySpan<float> vector, int block, Action<long, int>? hashed)
    {
        var start = block * BlockFloats;
        var floats = vector.Slice(start, Math.Min(BlockFloats, vector.Length - start));
        SHA256.HashData(MemoryMarshal.AsBytes(floats), _digests.AsSpan(block * SHA256.HashSizeInBytes));
        hashed?.Invoke(start, floats.Length);
    }
}
