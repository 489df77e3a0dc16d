using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using DistTune.Core;
using DistTune.Engine.Storage;

namespace DistTune.Engine.Journal;

/// <summary>A record with where, when and in whose term it was written.</summary>
/// <param name="Offset">First byte in the file.</param>
/// <param name="Sequence">Number of the record, from 0.</param>
/// <param name="Term">The coordinator's term.</param>
/// <param name="Time">When, by the writer's clock.</param>
/// <param name="Record">The record.</param>
public sealed record JournalEntry(long Offset, long Sequence, long Term, DateTimeOffset Time, RunRecord Record)
{
    /// <summary>The run's state after this record.</summary>
    /// <param name="run">The state before.</param>
    /// <param name="name">The journal, for the message.</param>
    /// <exception cref="DistTuneException">The record does not follow: whole as it is, it belongs to no such run.</exception>
    internal TrainingRun Follow(TrainingRun run, string name)
    {
        try
        {
            return run.Apply(Record);
        }
        catch (Exception fault) when (fault is UnreachableException or ArgumentException or OverflowException)
        {
            throw new DistTuneException(FaultKind.InvalidFile, string.Create(
                CultureInfo.InvariantCulture, $"{name}, byte {Offset}: {fault.Message} The journal is not one run's history."), fault);
        }
    }
}

/// <summary>A journal as it was read.</summary>
/// <param name="Entries">Its records, in order.</param>
/// <param name="End">Where the next record belongs.</param>
/// <param name="TornBytes">Bytes beyond it that a crash left of a record that was never finished.</param>
/// <param name="LastHash">SHA-256 of the last frame.</param>
internal sealed record JournalContent(IReadOnlyList<JournalEntry> Entries, long End, long TornBytes, byte[] LastHash);

/// <summary>
/// Reads a journal. A tail that is no record, with nothing whole behind it, was torn by a crash: it was never acknowledged and is cut
/// off. Damage that is followed by whole records is damage to what was durable: nobody may guess, so the journal is refused.
/// </summary>
internal static class JournalScan
{
    public static ReadOnlySpan<byte> Magic => "DTJRNL02"u8;

    /// <param name="file">The file.</param>
    /// <param name="name">Its path, for messages.</param>
    /// <exception cref="DistTuneException">It is no journal, or damaged before its tail; the message has the offset.</exception>
    public static JournalContent Read(IStorageFile file, string name)
    {
        var bytes = ReadAll(file, name);
        if (bytes.Length < Magic.Length || !bytes.AsSpan(0, Magic.Length).SequenceEqual(Magic))
        {
            // The first write of all may be torn like any other.
            return FindFrame(bytes, 0) is null && (bytes.Length <= Magic.Length || bytes.AsSpan(0, Magic.Length).IndexOfAnyExcept((byte)0) < 0)
                ? new JournalContent([], 0, bytes.Length, new byte[JournalFrame.HashBytes])
                : throw new DistTuneException(FaultKind.InvalidFile, $"{name} {WhatItIs(bytes)} Give the run another output_dir, or move this one away.");
        }

        var entries = new List<JournalEntry>();
        var hash = new byte[JournalFrame.HashBytes];
        var offset = Magic.Length;
        while (offset < bytes.Length && FrameAt(bytes, offset) is { Length: > 0 } frame)
        {
            entries.Add(Open(frame, offset, entries, hash, name));
            hash = JournalFrame.HashOf(frame);
            offset += frame.Length;
        }

        var tail = bytes.AsSpan(offset);
        if (tail.IndexOfAnyExcept((byte)0) < 0)
        {
            return new JournalContent(entries, offset, 0, hash);
        }

        return FindFrame(bytes, offset) is { } next
            ? throw new DistTuneException(FaultKind.InvalidFile, string.Create(
                CultureInfo.InvariantCulture,
                $"{name} is damaged at byte {offset} (after record {entries.Count - 1}), but whole records follow from byte {next} on: this is no torn tail, what it says was durable. " +
                $"Put back a copy of the file, or start from a snapshot: --resume {Path.Combine(Path.GetDirectoryName(name) ?? "", "snapshots", "step-…")} with another output_dir."))
            : new JournalContent(entries, offset, tail.Length, hash);
    }

    private static string WhatItIs(ReadOnlySpan<byte> bytes)
    {
        var expected = System.Text.Encoding.ASCII.GetString(Magic);
        return bytes.StartsWith(Magic[..^2])
            ? $"was written by another version of DistTune, which cannot be gone on with: it starts with '{System.Text.Encoding.ASCII.GetString(bytes[..Magic.Length])}', this version writes '{expected}'."
            : $"is no journal of a run: it does not start with '{expected}'.";
    }

    private static byte[] ReadAll(IStorageFile file, string name)
    {
        var length = file.Length;
        if (length > Array.MaxLength)
        {
            throw new DistTuneException(FaultKind.InvalidFile, string.Create(CultureInfo.InvariantCulture, $"{name} has {length} bytes; a journal has at most {Array.MaxLength}."));
        }

        var bytes = new byte[length];
        var read = file.Read(0, bytes);
        return read == length ? bytes : throw new IOException($"{name} ended early.");
    }

    private static JournalEntry Open(ReadOnlySpan<byte> frame, int offset, List<JournalEntry> before, byte[] hash, string name)
    {
        var facts = JournalFrame.FactsOf(frame);
        var lastTerm = before is [.., var last] ? last.Term : 0;
        if (facts.Sequence != before.Count || facts.Term < lastTerm || !facts.Previous.AsSpan().SequenceEqual(hash))
        {
            throw new DistTuneException(FaultKind.InvalidFile, string.Create(
                CultureInfo.InvariantCulture,
                $"{name} has a record at byte {offset} that does not continue the one before: it is record {facts.Sequence} of term {facts.Term}, expected {before.Count} of term {lastTerm} or later. " +
                $"Two coordinators may have written it, or it was put together from two journals. Put back a copy of the file."));
        }

        try
        {
            return new JournalEntry(offset, facts.Sequence, facts.Term, DateTimeOffset.FromUnixTimeMilliseconds(facts.UnixMilliseconds), JournalFrame.RecordOf(frame));
        }
        catch (Exception fault) when (fault is DistTuneException or ArgumentOutOfRangeException)
        {
            throw new DistTuneException(FaultKind.InvalidFile, string.Create(CultureInfo.InvariantCulture, $"{name}, byte {offset}: {fault.Message} Use the version that wrote it."), fault);
        }
    }

    private static ReadOnlySpan<byte> FrameAt(byte[] bytes, int offset)
    {
        var length = JournalFrame.LengthOf(bytes.AsSpan(offset));
        return length > 0 && length <= bytes.Length - offset && JournalFrame.IsWhole(bytes.AsSpan(offset, length)) ? bytes.AsSpan(offset, length) : default;
    }

    private static int? FindFrame(byte[] bytes, int from)
    {
        for (var offset = from; offset <= bytes.Length - JournalFrame.HeaderBytes; offset++)
        {
            // Most places are ruled out by these four bytes.
            if (BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(offset)) is > 0 and < JournalFrame.MostBytes && !FrameAt(bytes, offset).IsEmpty)
            {
                return offset;
            }
        }

        return null;
    }
}
