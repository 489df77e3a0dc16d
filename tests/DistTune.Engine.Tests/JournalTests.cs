using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Engine.Journal;
using DistTune.Engine.Storage;
using Microsoft.Extensions.Time.Testing;

namespace DistTune.Engine.Tests;

public sealed class JournalTests : IDisposable
{
    private static readonly StepCommitted Step = new(0, "g", "a1", "o1", 1.0 / 3, double.Epsilon, 1e-4, 12, 40);
    private static readonly MeasurementClosed Measured = new(1, null, 7, [[1, 2], [], [3]]);
    private static readonly GroupKey Group = new(3, GroupKind.Generate, 2);

    private static readonly ImmutableArray<RunRecord> Records =
    [
        new RunOpened("run-1", new RunHashes("b", "t", "", "d", "ç ışık 🌾"), "a0") { Settings = [new("rate", "0.1"), new("empty", "")], Launch = "L" },
        new TermBegun(long.MaxValue),
        new CanarySet("c", "worker-0", "x64-avx512-bf16", "libtorch 1.13.1"),
        new StageOpened(StageKind.Measure, 3, "a", [Group, new GroupKey(3, GroupKind.Evaluate, 0)]),
        new GroupDone(Group, 2, "worker-0", "digest", new GroupOutcome(-0.0, 5, 9, [[4, 5, 6]], new GroupTimings(0.1, 0.2, 0.3))) { Spool = new SpoolPlace(3, 1L << 40) },
        new GroupReopened(Group, "why"),
        Step,
        Measured,
        Measured with { Loss = Math.PI },
        new DeterminismViolated(Group, "w1", "d1", "w2", "d2"),
        new SnapshotTaken(100, "sha"),
        new RunRestored("/some/where", [Step], [Measured]),
        new RunFinished("a1"),
        new WorkerQuarantined("w", "why"),
        new NonFiniteFound(Group, "w", "d", "the loss sum is NaN"),
        new RunFailed("line\nline"),
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-journal-").FullName;
    private readonly FakeTimeProvider _time = new();

    private string Path => System.IO.Path.Combine(_folder, JournalFile.Name);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Every_record_is_read_as_it_was_written()
    {
        WriteAll();

        var entries = Open().Entries;

        Assert.Equal(Records.Select(Describe), entries.Select(entry => Describe(entry.Record)));
        Assert.Equal(Enumerable.Range(0, Records.Length).Select(i => (long)i), entries.Select(entry => entry.Sequence));
        Assert.All(entries, entry => Assert.Equal(_time.GetUtcNow(), entry.Time));
        Assert.Equal(typeof(RunRecord).Assembly.GetTypes().Count(type => type.IsSubclassOf(typeof(RunRecord))), Records.Select(record => record.GetType()).Distinct().Count());
    }

    [Fact]
    public void A_journal_cut_off_at_any_byte_keeps_the_records_that_were_whole()
    {
        WriteAll();
        var whole = File.ReadAllBytes(Path);
        var ends = Open().Entries.Skip(1).Select(entry => entry.Offset).Append(whole.Length).ToList();
        for (var length = 0; length <= whole.Length; length++)
        {
            File.WriteAllBytes(Path, whole[..length]);
            Assert.Equal(ends.Count(end => end <= length), Open().Entries.Count);
        }
    }

    [Fact]
    public void A_flipped_bit_before_the_tail_is_refused_with_the_offset_and_in_the_last_record_cut_off()
    {
        WriteAll();
        var whole = File.ReadAllBytes(Path);
        var entries = Open().Entries;
        var random = new Random(5);
        for (var round = 0; round < 500; round++)
        {
            var damaged = (byte[])whole.Clone();
            var at = random.Next(JournalScan.Magic.Length, whole.Length);
            damaged[at] ^= (byte)(1 << random.Next(8));
            File.WriteAllBytes(Path, damaged);
            var hit = entries.Last(entry => entry.Offset <= at);
            if (hit.Sequence == Records.Length - 1)
            {
                Assert.Equal(Records.Length - 1, Open().Entries.Count);
                continue;
            }

            var fault = Assert.Throws<DistTuneException>(() => Open());
            Assert.Equal(FaultKind.InvalidFile, fault.Kind);
            Assert.Contains(FormattableString.Invariant($"byte {hit.Offset}"), fault.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_coordinator_whose_journal_went_on_without_it_adds_nothing()
    {
        WriteAll();
        var storage = new FolderStorage(_folder);
        using var stale = JournalFile.Open(storage, _time, out _);
        using var current = JournalFile.Open(storage, _time, out _);
        current.Term = long.MaxValue;
        current.Append(new RunFinished("x"));

        var fault = Assert.Throws<RunStorageException>(() => stale.Append(new RunFinished("y")));

        Assert.True(fault.Superseded);
        Assert.Equal(Records.Length + 1, Open().Entries.Count);
    }

    [Fact]
    public void A_file_that_is_no_journal_is_refused_and_left_alone()
    {
        File.WriteAllText(Path, "2026-01-01 this is somebody's own log");

        Assert.Throws<DistTuneException>(() => Open());

        Assert.Equal("2026-01-01 this is somebody's own log", File.ReadAllText(Path));
    }

    private void WriteAll()
    {
        using var journal = JournalFile.Open(new FolderStorage(_folder), _time, out _);
        journal.Term = 7;
        foreach (var record in Records)
        {
            journal.Append(record);
        }

        journal.Close();
    }

    private JournalContent Open()
    {
        using var file = new FolderStorage(_folder).Open(JournalFile.Name);
        return JournalScan.Read(file, Path);
    }

    // Lists inside of records compare by reference.
    private static string Describe(RunRecord record) => System.Text.Json.JsonSerializer.Serialize<object>(
        record, new System.Text.Json.JsonSerializerOptions { NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals });
}
