using DistTune.Core;
using DistTune.Engine;
using DistTune.Protocol;
using Google.Protobuf;
using V1 = DistTune.Protocol.V1;

namespace DistTune.Fuzz.Tests.Formats;

/// <summary>Messages as they come off the wire, parsed as each kind and mapped to the Engine's records.</summary>
internal sealed class ProtobufFormat : FuzzFormat
{
    private static readonly V1.GroupReference Reference = new()
    {
        RunId = "run",
        Term = 3,
        Step = 1,
        Kind = V1.GroupKind.Train,
        Index = 2,
        AdapterSha256 = new string('a', 64),
        Attempt = 1,
    };

    public override string Name => "protobuf";

    public override IReadOnlyList<byte[]> Corpus { get; } =
    [
        Bytes(new V1.PushPart { Header = new V1.PushHeader { SessionId = "s", Reference = Reference } }),
        Bytes(new V1.PushPart { Chunk = new V1.Chunk { Offset = 64, Data = ByteString.CopyFrom(new byte[64]), Crc32C = Crc32C.Compute(new byte[64]) } }),
        Bytes(new V1.PushPart { Trailer = new V1.PushTrailer { GradientSha256 = new string('b', 64), LossSum = 1.5, TrainedTokens = 3, Continuations = { new V1.Continuation { TokenIds = { 1, 2 } } }, Timings = new V1.Timings { ForwardSeconds = 1 } } }),
        Bytes(new V1.RegisterRequest { Worker = "w", Rank = 1, Slots = 2, Fingerprint = new V1.Fingerprint { ProductVersion = "1", InstructionSet = "avx2", ComputeLibrary = "l", BaseSha256 = "c" } }),
        Bytes(new V1.SessionReport { SessionId = "s", Progress = { Reference, Reference }, PeakMemoryBytes = 5 }),
        Bytes(new V1.Grant { Reference = Reference, LeaseMilliseconds = 5, MicroBatches = { new V1.MicroBatch { Segments = { new V1.Segment { TokenIds = { 1, 2, 3 }, LabelBounds = { 1, 3 }, Sample = 4 } } } }, Generation = new V1.GenerationSettings { MaxNewTokens = 2, StopTokens = { 7 } } }),
        Bytes(new V1.RunFacts { RunId = "run", LayoutLength = 128, Seed = 3, Adapter = new V1.AdapterSettings { Kind = V1.AdapterKind.Lora, Rank = 2, Alpha = 4, TargetModules = { "q_proj" } } }),
    ];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        new("empty", []),
        new("a length of 2^63", [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        new("a length of 2^31-1", [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x07]),
        new("a number without end", [.. Enumerable.Repeat((byte)0xFF, 100)]),
        new("nested groups", [.. Enumerable.Repeat((byte)0x0B, 100_000)]),
        new("nested messages", Nested(200)),
        new("field zero", [0x00, 0x01]),
        new("an unknown kind of field", [0x0F, 0x01]),
        new("a text that is no UTF-8", [0x0A, 0x02, 0xFF, 0xFE]),
        new("tokens beyond 2^31", Bytes(new V1.PushTrailer { Continuations = { new V1.Continuation { TokenIds = { uint.MaxValue } } } })),
        new("a label range without an end", Bytes(new V1.Grant { Reference = Reference, MicroBatches = { new V1.MicroBatch { Segments = { new V1.Segment { LabelBounds = { 1 } } } } } })),
        new("label bounds beyond 2^31", Bytes(new V1.Grant { Reference = Reference, MicroBatches = { new V1.MicroBatch { Segments = { new V1.Segment { LabelBounds = { 1, uint.MaxValue } } } } } })),
        new("an unknown group kind", Bytes(new V1.PushHeader { Reference = new V1.GroupReference(Reference) { Kind = (V1.GroupKind)77 } })),
        new("an unknown adapter kind", Bytes(new V1.AdapterSettings { Kind = (V1.AdapterKind)77 })),
        new("an empty chunk", Bytes(new V1.Chunk())),
        new("half a float", Bytes(new V1.Chunk { Data = ByteString.CopyFrom(1, 2, 3) })),
        new("a chunk of a megabyte", Bytes(new V1.Chunk { Data = ByteString.CopyFrom(new byte[1 << 20]) })),
        new("a negative offset", Bytes(new V1.Chunk { Offset = long.MinValue, Data = ByteString.CopyFrom(new byte[4]), Crc32C = Crc32C.Compute(new byte[4]) })),
        new("a million references", Bytes(new V1.SessionReport { Progress = { Enumerable.Repeat(new V1.GroupReference(), 1_000_000) } })),
        new("a million continuations", Bytes(new V1.PushTrailer { Continuations = { Enumerable.Repeat(new V1.Continuation(), 1_000_000) } })),
    ];

    // An empty nested message takes two bytes on the wire and about a hundred as an object; every kind below is tried.
    public override long AllocationBound(int length) => (16L << 20) + (2048L * length);

    public override byte[] Mutate(Random random, byte[] content) => ByteMutator.Mutate(random, content);

    public override void Read(byte[] content, string folder)
    {
        Try(V1.PushPart.Parser, content, part =>
        {
            _ = part.PartCase switch
            {
                V1.PushPart.PartOneofCase.Header => (object)TrainingMapping.ToReference(part.Header.Reference),
                V1.PushPart.PartOneofCase.Chunk => VectorChunks.Open(part.Chunk).Length,
                V1.PushPart.PartOneofCase.Trailer => TrainingMapping.ToOutcome(part.Trailer),
                _ => 0,
            };
        });
        Try(V1.PushTrailer.Parser, content, trailer => TrainingMapping.ToOutcome(trailer));
        Try(V1.PushHeader.Parser, content, header => TrainingMapping.ToReference(header.Reference));
        Try(V1.Chunk.Parser, content, chunk => VectorChunks.Open(chunk));
        Try(V1.RegisterRequest.Parser, content, request => TrainingMapping.ToFingerprint(request.Fingerprint));
        Try(V1.SessionReport.Parser, content, report =>
        {
            foreach (var progress in report.Progress)
            {
                TrainingMapping.ToReference(progress);
            }
        });
        Try(V1.Grant.Parser, content, grant => TrainingMapping.ToGroup(grant));
        Try(V1.RunFacts.Parser, content, facts => TrainingMapping.ToSettings(facts.Adapter ?? new V1.AdapterSettings()));
        Try(V1.AdapterSettings.Parser, content, settings => TrainingMapping.ToSettings(settings));
    }

    // Every kind is tried, whatever became of the one before.
    private static void Try<T>(MessageParser<T> parser, byte[] content, Action<T> use)
        where T : IMessage<T>
    {
        try
        {
            use(parser.ParseFrom(content));
        }
        catch (Exception fault) when (fault is InvalidProtocolBufferException or DistTuneException)
        {
            // The transport answers the first as a status of its own; the second is what is asked for.
        }
    }

    private static byte[] Bytes(IMessage message) => message.ToByteArray();

    private static byte[] Nested(int depth)
    {
        byte[] inner = [];
        for (var i = 0; i < depth && inner.Length < 120; i++)
        {
            inner = [0x0A, (byte)inner.Length, .. inner];
        }

        return inner;
    }
}
