using DistTune.Core.Formats;

namespace DistTune.Core.Tests.Formats;

public sealed class GgufHostileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Open_AnyTruncation_IsRefused()
    {
        var whole = new GgufBuilder().Llama().Raw("list", 9, [.. GgufBuilder.Number(8u), .. GgufBuilder.Number(1ul), .. GgufBuilder.Utf8("x")]).Build();
        for (var length = 0; length < whole.Length; length += length < 1500 ? 1 : 97)
        {
            var path = _folder.Write("cut.gguf", whole[..length]);
            Assert.Throws<DistTuneException>(() => GgufFile.Open(path).Dispose());
        }
    }

    [Fact]
    public void Open_AnyFlippedByte_IsReadOrRefusedButNeverCrashes()
    {
        var whole = new GgufBuilder().Llama().Raw("list", 9, [.. GgufBuilder.Number(8u), .. GgufBuilder.Number(1ul), .. GgufBuilder.Utf8("x")]).Build();
        for (var at = 0; at < 1400; at++)
        {
            var bytes = whole.ToArray();
            bytes[at] ^= 0xFF;
            var path = _folder.Write("flipped.gguf", bytes);
            try
            {
                using var weights = GgufWeights.Open(path);
                DistTune.Core.Models.ModelFamilies.CheckWeights(DistTune.Core.Models.ModelFamilies.Describe(path), weights, path);
            }
            catch (DistTuneException error)
            {
                Assert.Contains("gguf", error.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Open_WrongMagicOrVersion_IsRefused()
    {
        Refused(new GgufBuilder { Magic = 1 }.Llama(), "GGUF");
        Refused(new GgufBuilder { Version = 1 }.Llama(), "version is 1");
        Refused(new GgufBuilder { Version = 3u << 24 }.Llama(), "big-endian");
    }

    [Fact]
    public void Open_HugeCounts_AreRefusedBeforeAllocation()
    {
        var before = GC.GetAllocatedBytesForCurrentThread();

        Refused(new GgufBuilder { ClaimedPairs = ulong.MaxValue }, "claimed");
        Refused(new GgufBuilder { ClaimedTensors = 1ul << 50 }, "claimed");
        Refused(new GgufBuilder { ClaimedTensors = 1 }, "claimed");
        Refused(new GgufBuilder().Raw("k", 8, GgufBuilder.Number(1ul << 60)), "claimed");
        Refused(new GgufBuilder().Raw("k", 9, [.. GgufBuilder.Number(6u), .. GgufBuilder.Number(1ul << 40)]), "claimed");

        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1_000_000);
    }

    [Fact]
    public void Open_WrongMetadata_IsRefused()
    {
        Refused(new GgufBuilder().Set("k", 1).Set("k", 2), "twice");
        Refused(new GgufBuilder().Raw("k", 99, 0, 0, 0, 0), "unknown type 99");
        Refused(new GgufBuilder().Raw("k", 7, 2), "truth value is 2");
        Refused(new GgufBuilder().Raw("k", 8, [.. GgufBuilder.Number(1ul), 0xFF]), "not UTF-8");
        byte[] nested = [];
        for (var i = 0; i < 40; i++)
        {
            nested = [.. nested, .. GgufBuilder.Number(9u), .. GgufBuilder.Number(1ul)];
        }

        Refused(new GgufBuilder().Raw("k", 9, nested), "nested deeper");
    }

    [Theory]
    [InlineData(new ulong[] { 8, 0 }, "dimension of 0")]
    [InlineData(new ulong[] { 1UL << 40, 1UL << 40 }, "more elements")]
    [InlineData(new ulong[] { ulong.MaxValue, 2 }, "more elements")]
    [InlineData(new ulong[] { 1, 1, 1, 1, 1 }, "5 dimensions")]
    [InlineData(new ulong[] { }, "0 dimensions")]
    [InlineData(new ulong[] { 1UL << 60 }, "claims")]
    [InlineData(new ulong[] { 9 }, "claims")]
    public void Open_WrongShape_IsRefused(ulong[] ne, string problem) => Refused(new GgufBuilder().Tensor("t", 0, ne, 0).Data(32), problem);

    [Fact]
    public void Open_WrongPlacement_IsRefused()
    {
        Refused(new GgufBuilder().Tensor("a", 0, [16], 0).Tensor("b", 0, [8], 32).Data(64), "overlaps 'a'");
        Refused(new GgufBuilder().Tensor("a", 0, [8], 4).Data(64), "not a multiple of 32");
        Refused(new GgufBuilder().Tensor("a", 0, [8], 1ul << 62).Data(64), "claims");
        Refused(new GgufBuilder().Tensor("a", 0, [8], ulong.MaxValue).Data(64), "beyond any file");
        Refused(new GgufBuilder().Tensor("a", 0, [8], 0).Tensor("a", 0, [8], 32).Data(64), "twice");
        Refused(new GgufBuilder().Tensor("a", 8, [33], 0).Data(64), "not a multiple of Q8_0's 32");
        Refused(new GgufBuilder().Set("general.alignment", 0).Tensor("a", 0, [8], 0).Data(64), "general.alignment");
        Refused(new GgufBuilder().Set("general.alignment", 24).Tensor("a", 0, [8], 0).Data(64), "general.alignment");
    }

    [Theory]
    [InlineData(12u, "Q4_K")]
    [InlineData(99u, "type 99")]
    public void Read_TypeThatIsNotSupported_IsNamedOnlyWhenRead(uint type, string name)
    {
        using var file = GgufFile.Open(_folder.Write("a.gguf", new GgufBuilder().Tensor("a", type, [256], 0).Data(160).Build()));

        Assert.Equal(name, file.Tensors[0].TypeName);
        var error = Assert.Throws<DistTuneException>(() => file.ReadFloat32(file.Tensors[0], new float[256]));
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
        Assert.Contains("Q8_0", error.Message, StringComparison.Ordinal);
    }

    private void Refused(GgufBuilder builder, string problem)
    {
        var path = _folder.Write("hostile.gguf", builder.Build());
        var error = Assert.Throws<DistTuneException>(() => GgufFile.Open(path).Dispose());
        Assert.Equal(FaultKind.InvalidFile, error.Kind);
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Contains(problem, error.Message, StringComparison.Ordinal);
    }
}
