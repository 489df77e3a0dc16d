using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using DistTune.Core.Formats;

namespace DistTune.Core.Tests.Formats;

public sealed class SafetensorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Write_ThenOpen_GivesEveryTensorBack()
    {
        var path = _folder.File("a.safetensors");
        float[] values = [1.5f, -2.25f, 0, float.Epsilon, float.MaxValue, -0f];
        WriteMixed(path, values);

        using var file = SafetensorsFile.Open(path);

        Assert.Equal(["bf16", "empty", "f16", "f32", "i32", "i64"], file.Weights.Select(weight => weight.Name));
        var read = new float[6];
        file.ReadFloat32("f32", read);
        Assert.Equal(values, read);
        file.ReadFloat32("f16", read.AsSpan(0, 3));
        Assert.Equal([1.5f, -2.25f, 0], read.AsSpan(0, 3).ToArray());
        file.ReadFloat32("bf16", read.AsSpan(0, 3));
        Assert.Equal([1.5f, -2.25f, 0], read.AsSpan(0, 3).ToArray());
        var integers = new byte[16];
        file.ReadRaw("i64", integers);
        Assert.Equal([7L, -8L], MemoryMarshal.Cast<byte, long>(integers).ToArray());
        Assert.Equal([2L, 3L], file.Find("f32")!.Shape);
        Assert.Null(file.Find("absent"));
    }

    [Fact]
    public void Write_SameTensorsInAnotherOrder_GivesTheSameBytes()
    {
        WeightInfo[] weights = [new("b", WeightType.Float32, [1]), new("a", WeightType.Float32, [2])];
        foreach (var (name, order) in new[] { ("1", weights), ("2", [.. weights.Reverse()]) })
        {
            SafetensorsWriter.Write(_folder.File(name), order, (weight, stream) => SafetensorsWriter.WriteValues(stream, new float[weight.Length], weight.Type));
        }

        Assert.Equal(File.ReadAllBytes(_folder.File("1")), File.ReadAllBytes(_folder.File("2")));
    }

    [Fact]
    public void Write_CallbackFails_LeavesTheOldFileAndNoOther()
    {
        var path = _folder.Write("a.safetensors", "old");

        Assert.Throws<InvalidOperationException>(() => SafetensorsWriter.Write(path, [new("a", WeightType.Float32, [2])], (_, stream) => stream.WriteByte(1)));

        Assert.Equal("old", File.ReadAllText(path));
        Assert.Single(Directory.GetFiles(_folder.Path));
    }

    [Theory]
    [InlineData(1f, 0x3F80)]
    [InlineData(1.00390625f, 0x3F80)] // halfway, to even
    [InlineData(1.01171875f, 0x3F82)] // halfway, to even
    [InlineData(float.MaxValue, 0x7F80)]
    [InlineData(float.NegativeInfinity, 0xFF80)]
    public void ToBFloat16_RoundsToNearestEven(float value, int bits) => Assert.Equal((ushort)bits, WeightConversion.ToBFloat16(value));

    [Fact]
    public void ToBFloat16_KeepsNaN() => Assert.True((WeightConversion.ToBFloat16(BitConverter.UInt32BitsToSingle(0x7F800001)) & 0x7F) != 0);

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "a")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "overlaps")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""", 12, "belong to no tensor")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 8, "belong to no tensor")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 4, "claims bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", 8, "claims bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}""", 8, "claims bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999]}}""", 8, "claims bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", 8, "takes 12 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", 8, "whole numbers")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}""", 8, "more elements than can be counted")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}""", 8, "more elements than can be counted")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}}""", 8, "dimensions")]
    [InlineData("""{"a":{"shape":[2],"data_offsets":[0,8]}}""", 8, "lacks dtype")]
    [InlineData("""{"a":7}""", 0, "lacks dtype")]
    [InlineData("""[1]""", 0, "not an object")]
    [InlineData("""{"a":[[[[[[[[[[[[1]]]]]]]]]]]]}""", 0, "not the JSON")]
    [InlineData("""{"a" """, 0, "not the JSON")]
    [InlineData("""{"\ud800":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}""", 4, "not")]
    public void Open_HostileHeader_IsRefusedWithFileAndCure(string header, int dataBytes, string problem)
    {
        var path = _folder.Write("hostile.safetensors", WithHeader(header, dataBytes));

        var error = Assert.Throws<DistTuneException>(() => SafetensorsFile.Open(path));

        Assert.Equal(FaultKind.InvalidFile, error.Kind);
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Contains(problem, error.Message, StringComparison.Ordinal);
        Assert.EndsWith("again.", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(ulong.MaxValue)]
    [InlineData(1UL << 40)]
    [InlineData(100_000_001UL)]
    [InlineData(9UL)]
    public void Open_WrongHeaderLength_IsRefusedBeforeAllocation(ulong length)
    {
        var bytes = WithHeader("{}      ", 0);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
        var path = _folder.Write("hostile.safetensors", bytes);
        var before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Throws<DistTuneException>(() => SafetensorsFile.Open(path));

        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1_000_000);
    }

    [Fact]
    public void Open_AnyTruncation_IsRefused()
    {
        var path = _folder.File("a.safetensors");
        WriteMixed(path, new float[6]);
        var whole = File.ReadAllBytes(path);
        for (var length = 0; length < whole.Length; length++)
        {
            var cut = _folder.Write("cut.safetensors", whole[..length]);
            Assert.Throws<DistTuneException>(() => SafetensorsFile.Open(cut).Dispose());
        }
    }

    [Fact]
    public void Open_AnyFlippedByte_IsReadOrRefusedButNeverCrashes()
    {
        var path = _folder.File("a.safetensors");
        WriteMixed(path, new float[6]);
        var whole = File.ReadAllBytes(path);
        for (var bit = 0; bit < 8 * whole.Length; bit += 3)
        {
            var bytes = whole.ToArray();
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            var flipped = _folder.Write("flipped.safetensors", bytes);
            try
            {
                using var file = SafetensorsFile.Open(flipped);
                foreach (var weight in file.Weights.Where(weight => weight.Type is WeightType.Float32 or WeightType.Float16 or WeightType.BFloat16))
                {
                    file.ReadFloat32(weight.Name, new float[weight.Length]);
                }
            }
            catch (DistTuneException error)
            {
                Assert.Contains(flipped, error.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Read_FromManyThreads_GivesEveryThreadTheSame()
    {
        var path = _folder.File("a.safetensors");
        var values = Enumerable.Range(0, 100_000).Select(i => (float)i).ToArray();
        SafetensorsWriter.Write(path, [new("a", WeightType.Float32, [100_000])], (weight, stream) => SafetensorsWriter.WriteValues(stream, values, weight.Type));
        using var file = SafetensorsFile.Open(path);

        Parallel.For(0, 64, _ =>
        {
            var read = new float[values.Length];
            file.ReadFloat32("a", read);
            Assert.Equal(values, read);
        });
    }

    [Fact]
    public void Read_AfterDisposal_Throws()
    {
        var path = _folder.Write("a.safetensors", WithHeader("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8));
        var file = SafetensorsFile.Open(path);
        file.Dispose();

        Assert.Throws<ObjectDisposedException>(() => file.ReadFloat32("a", new float[2]));
    }

    [Fact]
    public void Read_UnsupportedType_IsListedAndNamedOnlyWhenRead()
    {
        var path = _folder.Write("a.safetensors", WithHeader("""{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]},"z":{"dtype":"F4","shape":[16],"data_offsets":[8,16]}}""", 16));

        using var file = SafetensorsFile.Open(path);

        Assert.Equal(WeightType.Other, file.Find("a")!.Type);
        Assert.Contains("F8_E4M3", Assert.Throws<DistTuneException>(() => file.ReadFloat32("a", new float[8])).Message, StringComparison.Ordinal);
        Assert.Contains("F4", Assert.Throws<DistTuneException>(() => file.ReadRaw("z", new byte[8])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_WrongDestinationLength_Throws()
    {
        var path = _folder.Write("a.safetensors", WithHeader("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8));
        using var file = SafetensorsFile.Open(path);

        Assert.Throws<ArgumentException>(() => file.ReadFloat32("a", new float[3]));
        Assert.Throws<ArgumentException>(() => file.ReadRaw("a", new byte[4]));
    }

    [Theory]
    [InlineData("../outside.safetensors")]
    [InlineData("/etc/outside.safetensors")]
    [InlineData("a/b.safetensors")]
    [InlineData("a\\\\b.safetensors")]
    [InlineData("..")]
    [InlineData("")]
    [InlineData("model-1.bin")]
    public void OpenSharded_IndexPointsOutsideOrToPickle_IsRefused(string fileName)
    {
        _folder.Write("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"" + fileName + "\"}}");

        Assert.Equal(FaultKind.InvalidFile, Assert.Throws<DistTuneException>(() => WeightSources.Open(_folder.Path)).Kind);
    }

    [Fact]
    public void OpenSharded_TensorNotInItsShard_IsRefused()
    {
        SafetensorsWriter.Write(_folder.File("s1.safetensors"), [new("a", WeightType.Float32, [1])], (_, stream) => stream.Write(new byte[4]));
        _folder.Write("model.safetensors.index.json", """{"weight_map":{"a":"s1.safetensors","b":"s1.safetensors"}}""");

        Assert.Contains("'b'", Assert.Throws<DistTuneException>(() => WeightSources.Open(_folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_FolderWithPickle_SaysTheCure()
    {
        _folder.Write("pytorch_model.bin", "x");

        Assert.Contains("Convert it to safetensors", Assert.Throws<DistTuneException>(() => WeightSources.Open(_folder.Path)).Message, StringComparison.Ordinal);
    }

    internal static byte[] WithHeader(string header, int dataBytes)
    {
        var json = Encoding.UTF8.GetBytes(header);
        var bytes = new byte[8 + json.Length + dataBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)json.Length);
        json.CopyTo(bytes, 8);
        return bytes;
    }

    private static void WriteMixed(string path, float[] values)
    {
        WeightInfo[] weights =
        [
            new("f32", WeightType.Float32, [2, 3]), new("f16", WeightType.Float16, [3]), new("bf16", WeightType.BFloat16, [3]),
            new("i64", WeightType.Int64, [2]), new("i32", WeightType.Int32, [1]), new("empty", WeightType.Float32, [0, 4]),
        ];
        SafetensorsWriter.Write(path, weights, (weight, stream) =>
        {
            switch (weight.Type)
            {
                case WeightType.Int64:
                    stream.Write(MemoryMarshal.AsBytes<long>([7, -8]));
                    break;
                case WeightType.Int32:
                    stream.Write(MemoryMarshal.AsBytes<int>([5]));
                    break;
                default:
                    SafetensorsWriter.WriteValues(stream, values.AsSpan(0, (int)weight.Length), weight.Type);
                    break;
            }
        });
    }
}
