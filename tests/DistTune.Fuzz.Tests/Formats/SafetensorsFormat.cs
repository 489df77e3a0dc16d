using System.Buffers.Binary;
using System.Text;
using DistTune.Core.Formats;

namespace DistTune.Fuzz.Tests.Formats;

internal class SafetensorsFormat : FuzzFormat
{
    private static readonly TextMutator Header = new("\"F32\"", "\"BF16\"", "\"I64\"", "\"F4\"", "\"__metadata__\"", "\"data_offsets\"", "\"shape\"", "\"dtype\"", "[0,4]");

    public override string Name => "safetensors";

    public override IReadOnlyList<byte[]> Corpus { get; } =
    [
        File("""{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}""", 32),
        File("""{"__metadata__":{"format":"pt"},"empty":{"dtype":"F16","shape":[0,7],"data_offsets":[0,0]},"scalar":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}""", 8),
        Golden.Bytes("layers", "rmsnorm.safetensors"),
    ];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        new("empty", []),
        new("seven bytes", new byte[7]),
        new("a header of 2^64-1 bytes", [.. Number(ulong.MaxValue), (byte)'{', (byte)'}']),
        new("a header of 2^63 bytes", [.. Number(1UL << 63), (byte)'{', (byte)'}']),
        new("a header of 99 MB in a file of ten bytes", [.. Number(99_000_000), (byte)'{', (byte)'}']),
        new("no header", Number(0)),
        new("a list", File("[]", 0)),
        new("deep JSON", File(Repeat("[", 100_000) + Repeat("]", 100_000), 0)),
        new("deep objects", File(Repeat("{\"a\":", 50_000) + "1" + Repeat("}", 50_000), 0)),
        new("duplicate tensors", File("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8)),
        new("duplicate fields", File("""{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}""", 4)),
        new("overlap", File("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12)),
        new("a hole", File("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""", 12)),
        new("a tail", File("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 12)),
        new("beyond the end", File("""{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4000000]}}""", 4)),
        new("offsets backwards", File("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", 4)),
        new("negative offsets", File("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}""", 4)),
        new("a negative dimension", File("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4)),
        new("dimensions that overflow", File("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}""", 0)),
        new("dimensions that overflow to the right size", File("""{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807,9223372036854775807],"data_offsets":[0,4]}}""", 4)),
        new("a million dimensions", File($$$"""{"a":{"dtype":"F32","shape":[{{{Repeat("1,", 1_000_000)}}}1],"data_offsets":[0,4]}}""", 4)),
        new("half a surrogate pair", File("""{"\ud800":{"dtype":"\ud800","shape":[1],"data_offsets":[0,4]}}""", 4)),
        new("bytes that are no UTF-8", [.. Number(4), (byte)'{', 0xFF, 0xFE, (byte)'}']),
        new("100 000 empty tensors", File("{" + string.Join(',', Enumerable.Range(0, 100_000).Select(i => $$"""  "t{{i}}":{"dtype":"F32","shape":[0],"data_offsets":[0,0] }""")) + "}", 0)),
    ];

    public override byte[] Mutate(Random random, byte[] content)
    {
        var length = (int)BinaryPrimitives.ReadUInt64LittleEndian(content);
        if (random.Next(3) == 0)
        {
            return ByteMutator.Mutate(random, content);
        }

        var header = Header.Mutate(random, content[8..(8 + length)]);
        return [.. Number((ulong)header.Length), .. header, .. content[(8 + length)..]];
    }

    public override void Read(byte[] content, string folder)
    {
        var path = System.IO.Path.Combine(folder, "model.safetensors");
        System.IO.File.WriteAllBytes(path, content);
        using var file = SafetensorsFile.Open(path);
        foreach (var weight in file.Weights.Where(weight => weight.Type is WeightType.Float32 or WeightType.BFloat16).Take(8))
        {
            file.ReadFloat32(weight.Name, new float[weight.Length]);
        }
    }

    internal static byte[] File(string header, int dataBytes)
    {
        var bytes = Encoding.UTF8.GetBytes(header);
        return [.. Number((ulong)bytes.Length), .. bytes, .. new byte[dataBytes]];
    }

    private static byte[] Number(ulong value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return bytes;
    }
}
