using System.Buffers;
using System.Buffers.Binary;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Journal;

namespace DistTune.Fuzz.Tests.Formats;

/// <summary>A run's journal, read as `disttune inspect run` and a coordinator that starts again do.</summary>
internal sealed class JournalFormat : FuzzFormat
{
    private const int LengthAndChecksum = 8;
    private static readonly string Sha = new('a', 64);

    public override string Name => "journal";

    public override IReadOnlyList<byte[]> Corpus { get; } = [Journal(5), Journal(2)];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        new("empty", []),
        new("magic alone", JournalScan.Magic.ToArray()),
        new("another magic", Utf8("DTJRNL99 and more")),
        new("a frame of 2^32-1 bytes", [.. JournalScan.Magic, 0xFF, 0xFF, 0xFF, 0xFF, .. new byte[200]]),
        new("zeros without end", [.. JournalScan.Magic, .. new byte[1 << 20]]),
        new("ones without end", [.. JournalScan.Magic, .. Enumerable.Repeat((byte)1, 1 << 18)]),
        new("a torn tail", Journal(5)[..^7]),
        new("damage before the tail", With(Journal(5), bytes => bytes[40] ^= 1)),
        new("the same journal twice", [.. Journal(3), .. Journal(3)]),
        new("a payload that is longer than its record", Payload(Journal(5), payload => [.. payload, 0])),
        new("a payload of nothing", Payload(Journal(5), _ => [])),
        new("a list of 2^63 items", Payload(Journal(3), payload => [.. payload[..^16], 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])),
    ];

    // The file is read whole, each frame is hashed and copied once, and a record's lists are as long as their bytes.
    public override long AllocationBound(int length) => (16L << 20) + (256L * length);

    public override byte[] Mutate(Random random, byte[] content) => random.Next(3) == 0
        ? ByteMutator.Mutate(random, content)
        : Payload(content, payload => ByteMutator.Mutate(random, payload), random.Next(6) == 0 ? (byte)random.Next(16) : null);

    public override void Read(byte[] content, string folder)
    {
        File.WriteAllBytes(Path.Combine(folder, JournalFile.Name), content);
        var history = RunHistory.Read(folder);
        _ = history.Run().State;
        foreach (var line in RunNarrative.Tell(history, groups: true))
        {
            Assert.NotNull(line);
        }
    }

    private static byte[] Journal(int count)
    {
        var group = new GroupKey(0, GroupKind.Train, 0);
        RunRecord[] records =
        [
            new RunOpened("run", new RunHashes(Sha, Sha, Sha, Sha, Sha), Sha) { Settings = [new("lora_r", "8")], Launch = "l" },
            new TermBegun(1),
            new StageOpened(StageKind.Train, 0, Sha, [group, new GroupKey(0, GroupKind.Train, 1)]),
            new GroupDone(group, 1, "worker-0", Sha, new GroupOutcome(1.5, 3, 4, [[1, 2]], new GroupTimings(1, 2, 3))) { Spool = new SpoolPlace(1, 0) },
            new GroupReopened(group, "its worker was quarantined"),
        ];
        using var file = new MemoryStream();
        file.Write(JournalScan.Magic);
        var previous = new byte[JournalFrame.HashBytes];
        var buffer = new ArrayBufferWriter<byte>();
        for (var i = 0; i < count; i++)
        {
            var frame = JournalFrame.Write(buffer, records[i], new FrameFacts(i, i == 0 ? 0 : 1, previous, 1_700_000_000_000 + i));
            previous = JournalFrame.HashOf(frame);
            file.Write(frame);
        }

        return file.ToArray();
    }

    /// <summary>Changes the payload of the last record and makes its frame whole again, so that the change reaches the record's reader.</summary>
    private static byte[] Payload(byte[] journal, Func<byte[], byte[]> change, byte? type = null)
    {
        var start = JournalScan.Magic.Length;
        while (start + JournalFrame.LengthOf(journal.AsSpan(start)) is var next && next < journal.Length)
        {
            start = next;
        }

        byte[] frame = [.. journal[start..(start + JournalFrame.HeaderBytes)], .. change(journal[(start + JournalFrame.HeaderBytes)..])];
        frame[LengthAndChecksum] = type ?? frame[LengthAndChecksum];
        BinaryPrimitives.WriteUInt32LittleEndian(frame, (uint)(frame.Length - LengthAndChecksum));
        var checksum = Crc32C.Compute(frame.AsSpan(0, 4)) ^ Crc32C.Compute(frame.AsSpan(LengthAndChecksum));
        BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(4), checksum);
        return [.. journal[..start], .. frame];
    }

    private static byte[] With(byte[] content, Action<byte[]> change)
    {
        change(content);
        return content;
    }
}
