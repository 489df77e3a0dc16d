using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;

namespace DistTune.Engine.Journal;

/// <summary>
/// A record in the journal's file, all little-endian: length of what follows the checksum (4 bytes), CRC-32C of length and what follows
/// (4), type (4), sequence number (8), term (8), SHA-256 of the frame before (32), Unix time in milliseconds (8), payload.
/// </summary>
internal static class JournalFrame
{
    public const int HeaderBytes = LengthBytes + CrcBytes + FixedBytes;

    /// <summary>Longest frame: a run of a million steps restored in one record.</summary>
    public const int MostBytes = 1 << 28;

    public const int HashBytes = 32;
    private const int LengthBytes = 4;
    private const int CrcBytes = 4;
    private const int FixedBytes = 4 + 8 + 8 + HashBytes + 8;
    private const int TypeAt = LengthBytes + CrcBytes;
    private const int SequenceAt = TypeAt + 4;
    private const int TermAt = SequenceAt + 8;
    private const int PreviousAt = TermAt + 8;
    private const int TimeAt = PreviousAt + HashBytes;

    /// <summary>Writes a frame; the returned span is valid until the buffer is used again.</summary>
    public static ReadOnlySpan<byte> Write(ArrayBufferWriter<byte> buffer, RunRecord record, FrameFacts facts)
    {
        buffer.ResetWrittenCount();
        var header = buffer.GetSpan(HeaderBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(header[TypeAt..], (uint)RecordWriter.TypeOf(record));
        BinaryPrimitives.WriteInt64LittleEndian(header[SequenceAt..], facts.Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(header[TermAt..], facts.Term);
        facts.Previous.CopyTo(header[PreviousAt..]);
        BinaryPrimitives.WriteInt64LittleEndian(header[TimeAt..], facts.UnixMilliseconds);
        buffer.Advance(HeaderBytes);
        new RecordWriter(buffer).Write(record);

        var frame = System.Runtime.InteropServices.MemoryMarshal.AsMemory(buffer.WrittenMemory).Span;
        BinaryPrimitives.WriteUInt32LittleEndian(frame, checked((uint)(frame.Length - TypeAt)));
        BinaryPrimitives.WriteUInt32LittleEndian(frame[LengthBytes..], Checksum(frame));
        return frame;
    }

    /// <summary>Length of the frame that seems to start here, or 0 if none can.</summary>
    public static int LengthOf(ReadOnlySpan<byte> header)
    {
        if (header.Length < HeaderBytes)
        {
            return 0;
        }

        var length = BinaryPrimitives.ReadUInt32LittleEndian(header);
        return length is >= FixedBytes and <= MostBytes - TypeAt && BinaryPrimitives.ReadUInt32LittleEndian(header[TypeAt..]) is > 0 and <= byte.MaxValue
            ? (int)length + TypeAt
            : 0;
    }

    /// <summary>Whether the bytes are one whole frame that nothing has damaged.</summary>
    public static bool IsWhole(ReadOnlySpan<byte> frame) =>
        LengthOf(frame) == frame.Length && BinaryPrimitives.ReadUInt32LittleEndian(frame[LengthBytes..]) == Checksum(frame);

    /// <summary>What stands around the payload of a whole frame.</summary>
    public static FrameFacts FactsOf(ReadOnlySpan<byte> frame) => new(
        BinaryPrimitives.ReadInt64LittleEndian(frame[SequenceAt..]),
        BinaryPrimitives.ReadInt64LittleEndian(frame[TermAt..]),
        frame.Slice(PreviousAt, HashBytes).ToArray(),
        BinaryPrimitives.ReadInt64LittleEndian(frame[TimeAt..]));

    /// <exception cref="DistTune.Core.DistTuneException">The payload cannot be understood.</exception>
    public static RunRecord RecordOf(ReadOnlySpan<byte> frame) =>
        RecordReader.Read((RecordType)BinaryPrimitives.ReadUInt32LittleEndian(frame[TypeAt..]), frame[HeaderBytes..]);

    public static byte[] HashOf(ReadOnlySpan<byte> frame) => SHA256.HashData(frame);

    // Over the length, too: a damaged length must not point at another frame that happens to be whole.
    private static uint Checksum(ReadOnlySpan<byte> frame)
    {
        var length = Crc32C.Compute(frame[..LengthBytes]);
        return length ^ Crc32C.Compute(frame[TypeAt..]);
    }
}

/// <summary>What stands around a frame's payload.</summary>
internal readonly record struct FrameFacts(long Sequence, long Term, byte[] Previous, long UnixMilliseconds);
