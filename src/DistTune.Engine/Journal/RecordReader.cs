using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text;
using DistTune.Core;
using DistTune.Core.Training;

namespace DistTune.Engine.Journal;

/// <summary>Reads a record's payload. Every length is checked against what is left before anything is allocated.</summary>
internal ref struct RecordReader(ReadOnlySpan<byte> payload)
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    private ReadOnlySpan<byte> _rest = payload;

    /// <exception cref="DistTuneException">The payload is not that of such a record.</exception>
    public static RunRecord Read(RecordType type, ReadOnlySpan<byte> payload)
    {
        var reader = new RecordReader(payload);
        var record = reader.Record(type);
        return reader._rest.IsEmpty ? record : throw Fault($"{reader._rest.Length} bytes are left over");
    }

    private RunRecord Record(RecordType type) => type switch
    {
        RecordType.RunOpened => new RunOpened(Text(), new RunHashes(Text(), Text(), Text(), Text(), Text()), Text()) { Settings = Settings(), Launch = Text() },
        RecordType.TermBegun => new TermBegun(Number()),
        RecordType.StageOpened => new StageOpened((StageKind)Within(1), Count(), Text(), Keys()),
        RecordType.GroupDone => new GroupDone(Key(), Count(), Text(), Text(), Outcome()) { Spool = Spool(), Skipped = Within(1) == 1 },
        RecordType.GroupReopened => new GroupReopened(Key(), Text()),
        RecordType.StepCommitted => Step(),
        RecordType.MeasurementClosed => Measurement(),
        RecordType.DeterminismViolated => new DeterminismViolated(Key(), Text(), Text(), Text(), Text()),
        RecordType.SnapshotTaken => new SnapshotTaken(Count(), Text()),
        RecordType.RunRestored => new RunRestored(Text(), Steps(), Measurements()),
        RecordType.RunFinished => new RunFinished(Text()),
        RecordType.RunFailed => new RunFailed(Text()),
        RecordType.WorkerQuarantined => new WorkerQuarantined(Text(), Text()),
        RecordType.NonFiniteFound => new NonFiniteFound(Key(), Text(), Text(), Text()),
        RecordType.CanarySet => new CanarySet(Text(), Text(), Text(), Text()),
        _ => throw Fault($"type {(uint)type} is not known to this version"),
    };

    private ImmutableArray<KeyValuePair<string, string>> Settings()
    {
        var settings = ImmutableArray.CreateBuilder<KeyValuePair<string, string>>(List(2 * sizeof(long)));
        for (var i = settings.Capacity; i > 0; i--)
        {
            settings.Add(new(Text(), Text()));
        }

        return settings.MoveToImmutable();
    }

    private ImmutableArray<GroupKey> Keys()
    {
        var keys = ImmutableArray.CreateBuilder<GroupKey>(List(3 * sizeof(long)));
        for (var i = keys.Capacity; i > 0; i--)
        {
            keys.Add(Key());
        }

        return keys.MoveToImmutable();
    }

    private ImmutableArray<StepCommitted> Steps()
    {
        var steps = ImmutableArray.CreateBuilder<StepCommitted>(List(9 * sizeof(long)));
        for (var i = steps.Capacity; i > 0; i--)
        {
            steps.Add(Step());
        }

        return steps.MoveToImmutable();
    }

    private ImmutableArray<MeasurementClosed> Measurements()
    {
        var measurements = ImmutableArray.CreateBuilder<MeasurementClosed>(List(5 * sizeof(long)));
        for (var i = measurements.Capacity; i > 0; i--)
        {
            measurements.Add(Measurement());
        }

        return measurements.MoveToImmutable();
    }

    private GroupKey Key() => new(Count(), (GroupKind)Within((int)GroupKind.Generate), Count());

    private StepCommitted Step() => new(Count(), Text(), Text(), Text(), Real(), Real(), Real(), Number(), Number());

    private MeasurementClosed Measurement()
    {
        var step = Count();
        var measured = Within(1) == 1;
        var loss = Real();
        return new MeasurementClosed(step, measured ? loss : null, Number(), Continuations());
    }

    private GroupOutcome Outcome() => new(Real(), Number(), Number(), Continuations(), new GroupTimings(Real(), Real(), Real()));

    private SpoolPlace? Spool()
    {
        var (term, offset) = (Number(), Number());
        return term == 0 ? null : new SpoolPlace(term, offset);
    }

    private ImmutableArray<ImmutableArray<int>> Continuations()
    {
        var all = ImmutableArray.CreateBuilder<ImmutableArray<int>>(List(sizeof(long)));
        for (var i = all.Capacity; i > 0; i--)
        {
            var tokens = ImmutableArray.CreateBuilder<int>(List(sizeof(long)));
            for (var j = tokens.Capacity; j > 0; j--)
            {
                tokens.Add(Count());
            }

            all.Add(tokens.MoveToImmutable());
        }

        return all.MoveToImmutable();
    }

    private string Text()
    {
        var length = List(1);
        try
        {
            return Strict.GetString(Take(length));
        }
        catch (DecoderFallbackException fault)
        {
            throw Fault($"a text is not UTF-8: {fault.Message}");
        }
    }

    private double Real() => BitConverter.Int64BitsToDouble(Number());

    private int Within(int most) => Number() is >= 0 and var value && value <= most ? (int)value : throw Fault($"a number is outside of 0..{most}");

    private int Count() => Within(int.MaxValue);

    // So many items of at least so many bytes each must still be there.
    private int List(int leastBytes) => Number() is >= 0 and var count && count <= _rest.Length / leastBytes
        ? (int)count
        : throw Fault("a length goes beyond the record's end");

    private long Number() => BinaryPrimitives.ReadInt64LittleEndian(Take(sizeof(long)));

    private ReadOnlySpan<byte> Take(int length)
    {
        if (length > _rest.Length)
        {
            throw Fault("it ends too early");
        }

        var taken = _rest[..length];
        _rest = _rest[length..];
        return taken;
    }

    private static DistTuneException Fault(string what) => new(FaultKind.InvalidFile, $"The record cannot be read: {what}.");
}
