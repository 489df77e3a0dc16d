using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Tests.Text;

namespace DistTune.Core.Tests.Formats;

public sealed class GgufTests : IDisposable
{
    private static readonly string Goldens = Path.Combine(GoldenFiles.Root, "gguf");
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("tiny-F16.gguf")]
    [InlineData("tiny-BF16.gguf")]
    [InlineData("tiny-Q8_0.gguf")]
    [InlineData("tiny-Q4_0.gguf")]
    [InlineData("tiny-Q4_1.gguf")]
    public void Read_EveryTensor_HasTheReferencesBits(string name)
    {
        using var file = GgufFile.Open(Path.Combine(Goldens, name));
        var records = GoldenFiles.Records(Path.Combine(Goldens, "tensors.jsonl")).Where(record => record.Text("file") == name).ToArray();

        Assert.Equal(file.Tensors.Length, records.Length);
        foreach (var record in records)
        {
            var tensor = file.Find(record.Text("name"))!;
            var values = new float[tensor.Length];
            file.ReadFloat32(tensor, values);

            Assert.Equal(record.Text("type"), tensor.TypeName);
            Assert.Equal(record.GetProperty("shape").Ints().Select(dimension => (long)dimension), tensor.Shape);
            Assert.Equal(record.Text("sha256"), Sha256(values));
        }
    }

    [Fact]
    public void Weights_OfHalfPrecisionFile_AreTheHuggingFaceWeightsInTheirOrder()
    {
        using var gguf = WeightSources.Open(Path.Combine(Goldens, "tiny-F16.gguf"));
        using var folder = WeightSources.Open(Path.Combine(Goldens, "hf"));

        Assert.Equal(folder.Weights.Select(weight => weight.Name), gguf.Weights.Select(weight => weight.Name));
        foreach (var weight in folder.Weights)
        {
            var expected = Read(folder, weight.Name);
            var stored = gguf.Find(weight.Name)!;
            if (stored.Type == WeightType.Float16)
            {
                expected = Array.ConvertAll(expected, value => (float)(Half)value);
                var raw = new byte[2 * weight.Length];
                gguf.ReadRaw(weight.Name, raw);
                Assert.Equal(expected, Array.ConvertAll(MemoryMarshal.Cast<byte, Half>(raw).ToArray(), value => (float)value));
            }

            Assert.Equal(weight.Shape, stored.Shape);
            Assert.Equal(expected, Read(gguf, weight.Name));
        }
    }

    [Fact]
    public void Describe_File_GivesTheModelOfItsHuggingFaceFolder()
    {
        var gguf = ModelFamilies.Describe(Path.Combine(Goldens, "tiny-Q4_0.gguf"));
        var folder = ModelFamilies.Describe(Path.Combine(Goldens, "hf"));

        Assert.Equal(JsonSerializer.Serialize(folder), JsonSerializer.Serialize(gguf));
        Assert.Equal(1e-5, gguf.Norm.Epsilon);
    }

    [Fact]
    public void Metadata_EveryType_IsReadAndWrongTypesAreNamed()
    {
        var bytes = new GgufBuilder { Version = 2 }
            .Raw("u8", 0, 200).Raw("i8", 1, 0xFF).Raw("u16", 2, 1, 1).Raw("i16", 3, 0xFE, 0xFF).Raw("u32", 4, 0xFF, 0xFF, 0xFF, 0xFF).Raw("i32", 5, 0xFF, 0xFF, 0xFF, 0xFF)
            .Set("f32", 1e-5f).Raw("flag", 7, 1).Set("text", "çay").Raw("u64", 10, GgufBuilder.Number(1ul << 40)).Raw("i64", 11, GgufBuilder.Number(ulong.MaxValue))
            .Raw("f64", 12, BitConverter.GetBytes(0.1))
            .Raw("texts", 9, [.. GgufBuilder.Number(8u), .. GgufBuilder.Number(2ul), .. GgufBuilder.Utf8("a"), .. GgufBuilder.Utf8("b")])
            .Raw("floats", 9, [.. GgufBuilder.Number(6u), .. GgufBuilder.Number(1ul), .. BitConverter.GetBytes(2.5f)])
            .Raw("ints", 9, [.. GgufBuilder.Number(5u), .. GgufBuilder.Number(2ul), .. GgufBuilder.Number(7u), .. GgufBuilder.Number(8u)])
            .Raw("nested", 9, [.. GgufBuilder.Number(9u), .. GgufBuilder.Number(1ul), .. GgufBuilder.Number(0u), .. GgufBuilder.Number(2ul), 1, 2])
            .Build();

        using var file = GgufFile.Open(_folder.Write("a.gguf", bytes));
        var metadata = file.Metadata;

        Assert.Equal(2, file.Version);
        Assert.Equal([200L, -1, 257, -2, uint.MaxValue, -1, 1L << 40, -1], ((string[])["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"]).Select(key => metadata.FindInteger(key)!.Value));
        Assert.Equal((1e-5, 0.1, 200.0), (metadata.FindNumber("f32"), metadata.FindNumber("f64"), metadata.FindNumber("u8")));
        Assert.Equal((true, "çay"), (metadata.FindFlag("flag"), metadata.FindString("text")));
        Assert.Equal(["a", "b"], metadata.FindStrings("texts")!);
        Assert.Equal([2.5f], metadata.FindNumbers("floats")!);
        Assert.Equal([7, 8], metadata.FindIntegers("ints")!);
        Assert.Equal([1, 2], Assert.IsType<byte[]>(Assert.IsType<object[]>(metadata.Find("nested"))[0]));
        Assert.Null(metadata.FindString("absent"));
        Assert.Equal("u8", metadata.Keys[0]);
        Assert.Contains("'text'", Assert.Throws<DistTuneException>(() => metadata.FindInteger("text")).Message, StringComparison.Ordinal);
        Assert.Throws<DistTuneException>(() => metadata.FindStrings("floats"));
    }

    [Fact]
    public void Weights_BiasOfQAndK_AreReorderedLikeTheirRows()
    {
        using var gguf = GgufWeights.Open(_folder.Write("a.gguf", new GgufBuilder().Llama(bias: true).Build()));

        Assert.Equal([0f, 2, 1, 3, 4, 6, 5, 7], Read(gguf, "model.layers.0.self_attn.q_proj.bias"));
        Assert.Equal([0f, 2, 1, 3], Read(gguf, "model.layers.0.self_attn.k_proj.bias"));
        Assert.Equal([0f, 1, 2, 3], Read(gguf, "model.layers.0.self_attn.v_proj.bias"));
        var raw = new byte[16];
        gguf.ReadRaw("model.layers.0.self_attn.k_proj.bias", raw);
        Assert.Equal([0f, 2, 1, 3], MemoryMarshal.Cast<byte, float>(raw).ToArray());
        Assert.Equal([0f, 16, 8, 24], Read(gguf, "model.layers.0.self_attn.k_proj.weight").Where((_, i) => i % 8 == 0));
        var spec = ModelFamilies.Describe(gguf.File.Path);
        Assert.True(spec is { QueryKeyValueBias: true, AttentionOutputBias: true, FeedForwardBias: false, TiedHead: true });
        ModelFamilies.CheckWeights(spec, gguf, gguf.File.Path);
    }

    [Fact]
    public void Describe_Llama3RotaryFactors_GiveTheScalingBack_AndOthersAreRefused()
    {
        // Heads of width 4: wavelengths 6.3 (never stretched) and 2π√θ, here 44429 (all of the factor) and 4443 (between).
        Assert.Equal(
            new Llama3RotaryScaling(32, 1, 4, 8192),
            Describe(new GgufBuilder().Llama(theta: 5e7f).Floats("rope_freqs.weight", [2], i => i == 0 ? 1 : 32)).Rotary.Scaling);
        Assert.Contains(
            "not those of Llama 3",
            Assert.Throws<DistTuneException>(() => Describe(new GgufBuilder().Llama().Floats("rope_freqs.weight", [2], i => i == 0 ? 1 : 2.5f))).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "3 factors",
            Assert.Throws<DistTuneException>(() => Describe(new GgufBuilder().Llama().Floats("rope_freqs.weight", [3], _ => 1))).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Describe_RotaryScalingOfMetadata_IsReadOrRefused()
    {
        var linear = new GgufBuilder().Llama().Set("llama.rope.scaling.type", "linear").Set("llama.rope.scaling.factor", 4f);
        var none = new GgufBuilder().Llama().Set("llama.rope.scaling.type", "none");
        var yarn = new GgufBuilder().Llama().Set("llama.rope.scaling.type", "yarn").Set("llama.rope.scaling.factor", 4f);

        Assert.Equal(new LinearRotaryScaling(4), Describe(linear).Rotary.Scaling);
        Assert.Null(Describe(none).Rotary.Scaling);
        Assert.Contains("yarn", Assert.Throws<DistTuneException>(() => Describe(yarn)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_WhatIsNotAPlainLlama_IsRefusedByName()
    {
        Refused(new GgufBuilder().Set("general.architecture", "mamba"), "mamba");
        Refused(new GgufBuilder().Set("general.type", "adapter").Set("general.architecture", "llama"), "adapter");
        Refused(new GgufBuilder().Llama().Floats("blk.0.ffn_gate_inp.weight", [8, 4], i => i), "ffn_gate_inp");
        Assert.Contains("expert_count", Assert.Throws<DistTuneException>(() => Describe(new GgufBuilder().Llama().Set("llama.expert_count", 8))).Message, StringComparison.Ordinal);
        Assert.Contains("dimension_count", Assert.Throws<DistTuneException>(() => Describe(new GgufBuilder().Llama().Set("llama.rope.dimension_count", 2))).Message, StringComparison.Ordinal);

        void Refused(GgufBuilder builder, string named)
        {
            var path = _folder.Write("b.gguf", builder.Build());
            Assert.Contains(named, Assert.Throws<DistTuneException>(() => GgufWeights.Open(path).Dispose()).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(WeightType.Float32)]
    [InlineData(WeightType.BFloat16)]
    public void Import_WritesAFolderThatDescribesTheSameModel(WeightType type)
    {
        var source = Path.Combine(Goldens, "tiny-Q8_0.gguf");
        var folder = _folder.File("model");

        GgufImport.ToModelFolder(source, folder, type, TestContext.Current.CancellationToken);

        Assert.Equal(JsonSerializer.Serialize(ModelFamilies.Describe(source)), JsonSerializer.Serialize(ModelFamilies.Describe(folder)));
        Assert.Contains(type == WeightType.Float32 ? "\"dtype\": \"float32\"" : "\"torch_dtype\": \"bfloat16\"", File.ReadAllText(Path.Combine(folder, "config.json")), StringComparison.Ordinal);
        using var gguf = WeightSources.Open(source);
        using var imported = WeightSources.Open(folder);
        foreach (var weight in imported.Weights)
        {
            Assert.Equal(type, weight.Type);
            var expected = Read(gguf, weight.Name);
            Assert.Equal(type == WeightType.Float32 ? expected : Array.ConvertAll(expected, Rounded), Read(imported, weight.Name));
        }

        static float Rounded(float value) => BitConverter.UInt32BitsToSingle((uint)WeightConversion.ToBFloat16(value) << 16);
    }

    [Fact]
    public void RealModel_EveryWeight_HasTheReferencesBits()
    {
        Assert.SkipWhen(GoldenFiles.ThirdParty is null, "DISTTUNE_THIRDPARTY is not set: the real weights are not here.");
        var expected = GoldenFiles.External("smollm2/tensors.jsonl");
        Assert.SkipWhen(expected is null, "The goldens of the real weights are not here.");
        var folder = Path.Combine(GoldenFiles.ThirdParty!, "smollm2-135m-instruct");

        using var weights = WeightSources.Open(folder);

        ModelFamilies.CheckWeights(ModelFamilies.Describe(folder), weights, folder);
        Parallel.ForEach(GoldenFiles.Records(expected!), record =>
        {
            var values = Read(weights, record.Text("hf_name"));
            Assert.Equal(record.Text("hf_sha256"), Sha256(values));
        });
        var fromFile = ModelFamilies.Describe(Directory.GetFiles(folder, "*.gguf").Single());
        Assert.Equal(JsonSerializer.Serialize(ModelFamilies.Describe(folder)), JsonSerializer.Serialize(fromFile));
    }

    private static float[] Read(IWeightSource source, string name)
    {
        var values = new float[source.Find(name)!.Length];
        source.ReadFloat32(name, values);
        return values;
    }

    private static string Sha256(float[] values) => Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes<float>(values)));

    private DecoderSpec Describe(GgufBuilder builder) => ModelFamilies.Describe(_folder.Write("described.gguf", builder.Build()));
}
