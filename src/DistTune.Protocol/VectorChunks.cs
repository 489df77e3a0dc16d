using System.Globalization;
using System.Runtime.InteropServices;
using DistTune.Core;
using DistTune.Engine;
using DistTune.Protocol.V1;
using Google.Protobuf;

namespace DistTune.Protocol;

/// <summary>Flat fp32 vectors as chunks on the wire, and back.</summary>
public static class VectorChunks
{
    /// <summary>Floats in a whole chunk: 256 KiB.</summary>
    public const int FloatsPerChunk = 256 * 1024 / sizeof(float);

    /// <summary>Cuts part of a vector into chunks that refer to its memory: it must not change until they are sent.</summary>
    /// <param name="vector">The flat vector.</param>
    /// <param name="offset">First float.</param>
    /// <param name="length">Number of floats.</param>
    public static IEnumerable<Chunk> Cut(ReadOnlyMemory<float> vector, long offset, long length)
    {
        for (var end = checked(offset + length); offset < end;)
        {
            var count = (int)Math.Min(FloatsPerChunk, end - offset);
            var data = UnsafeByteOperations.UnsafeWrap(new FloatMemory(MemoryMarshal.AsMemory(vector.Slice((int)offset, count))).Memory);
            yield return new Chunk { Offset = offset, Data = data, Crc32C = Crc32C.Compute(data.Span) };
            offset += count;
        }
    }

    /// <summary>The floats of a chunk.</summary>
    /// <exception cref="DistTuneException">Its length or checksum is wrong.</exception>
    public static ReadOnlySpan<float> Open(Chunk chunk)
    {
        ArgumentNullException.ThrowIfNull(chunk);
        var bytes = chunk.Data.Span;
        if (bytes.Length is 0 or > FloatsPerChunk * sizeof(float) || bytes.Length % sizeof(float) != 0)
        {
            throw Damaged(chunk, string.Create(CultureInfo.InvariantCulture, $"has {bytes.Length} bytes; 1 to {FloatsPerChunk} whole floats are expected"));
        }

        var crc = Crc32C.Compute(bytes);
        return crc == chunk.Crc32C
            ? MemoryMarshal.Cast<byte, float>(bytes)
            : throw Damaged(chunk, string.Create(CultureInfo.InvariantCulture, $"has CRC-32C {crc:x8}, {chunk.Crc32C:x8} was sent"));
    }

    private static DistTuneException Damaged(Chunk chunk, string problem) =>
        new(FaultKind.InvalidFile, string.Create(CultureInfo.InvariantCulture, $"The chunk at float {chunk.Offset} {problem}. It is sent again."));
}
