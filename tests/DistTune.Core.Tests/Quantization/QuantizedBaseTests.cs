using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Quantization;

namespace DistTune.Core.Tests.Quantization;

public sealed class QuantizedBaseTests : IDisposable
{
    private const string Sha256 = "0123456789abcdef0123456789abcdef";
    private const string Weight = "model.layers.0.mlp.down_proj.weight";
    private static readonly string Source = Golden.Path("quant", "tiny-llama");
    private static readonly string Prepared = Golden.Path("quant", "tiny-llama-nf4");
    private static readonly DecoderSpec Spec = ModelFamilies.Describe(Source);
    private readonly DirectoryInfo _cache = Directory.CreateTempSubdirectory("disttune-cache-");

    private string File => Directory.GetFiles(_cache.FullName, WeightSources.SingleFileName, SearchOption.AllDirectories).Single();

    public void Dispose() => _cache.Delete(recursive: true);

    [Fact]
    public void A_base_is_quantised_once_and_the_cache_is_the_file_that_transformers_would_write()
    {
        Open(new FourBitSettings()).Dispose();
        var made = System.IO.File.GetLastWriteTimeUtc(File);
        Open(new FourBitSettings()).Dispose();

        Assert.Equal(made, System.IO.File.GetLastWriteTimeUtc(File));
        Assert.Equal(System.IO.File.ReadAllBytes(Path.Combine(Prepared, WeightSources.SingleFileName)), System.IO.File.ReadAllBytes(File));
        Assert.Single(Directory.GetDirectories(_cache.FullName));
    }

    [Fact]
    public void A_cache_with_another_byte_is_made_again()
    {
        Open(new FourBitSettings()).Dispose();
        var right = System.IO.File.ReadAllBytes(File);
        var torn = right.ToArray();
        torn[^1] ^= 1;
        System.IO.File.WriteAllBytes(File, torn);

        Open(new FourBitSettings()).Dispose();

        Assert.Equal(right, System.IO.File.ReadAllBytes(File));
    }

    [Fact]
    public void Each_setting_has_a_cache_of_its_own()
    {
        Open(new FourBitSettings()).Dispose();
        Open(new FourBitSettings(FourBitKind.Fp4, 128, DoubleQuantization: false)).Dispose();

        Assert.Equal(2, Directory.GetDirectories(_cache.FullName).Length);
    }

    [Fact]
    public void Where_no_cache_can_be_written_the_base_is_quantised_in_memory_to_the_same_bytes()
    {
        var blocked = Path.Combine(_cache.FullName, "file");
        System.IO.File.WriteAllText(blocked, "");
        using var cached = Open(new FourBitSettings());
        using var direct = QuantizedBase.Open(Source, Sha256, Spec, new FourBitSettings(), blocked);

        Assert.IsType<QuantizingWeights>(direct);
        Assert.Equal(Bytes(cached), Bytes(direct));
    }

    [Theory]
    [InlineData("tiny-Q4_1.gguf")]
    [InlineData("tiny-Q8_0.gguf")]
    public void What_a_GGUF_base_has_in_blocks_beside_its_layers_is_cached_in_full(string file)
    {
        var source = _cache.CreateSubdirectory("source").FullName;
        System.IO.File.Copy(Golden.Path("gguf", "hf", ModelFamilies.ConfigName), Path.Combine(source, ModelFamilies.ConfigName));
        System.IO.File.Copy(Golden.Path("gguf", file), Path.Combine(source, file));
        var spec = ModelFamilies.Describe(source);
        using var cached = QuantizedBase.Open(source, Sha256, spec, new FourBitSettings(), Path.Combine(_cache.FullName, "made"));
        using var direct = new QuantizingWeights(WeightSources.Open(source), spec, new FourBitSettings());

        Assert.IsNotType<QuantizingWeights>(cached);
        foreach (var weight in direct.Weights.Where(weight => direct.FindFourBit(weight.Name) is null))
        {
            Assert.Equal(Values(direct, weight), Values(cached, weight));
        }

        static float[] Values(IFourBitWeights weights, WeightInfo weight)
        {
            var values = new float[weight.Length];
            weights.ReadFloat32(weight.Name, values);
            return values;
        }
    }

    [Fact]
    public void A_base_in_four_bits_refuses_settings_that_contradict_it()
    {
        var fault = Assert.Throws<DistTuneException>(() => QuantizedBase.Open(Prepared, Sha256, Spec, new FourBitSettings(FourBitKind.Fp4), _cache.FullName));

        Assert.Contains("nf4-b64-double", fault.Message, StringComparison.Ordinal);
        Assert.Contains("fp4-b64-double", fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"quant_method": "gptq", "bits": 4}""", "gptq")]
    [InlineData("""{"quant_method": "awq"}""", "awq")]
    [InlineData("""{"quant_method": "bitsandbytes", "load_in_8bit": true}""", "load_in_8bit")]
    public void Other_quantisations_are_refused_by_name(string config, string named)
    {
        var text = System.IO.File.ReadAllText(Path.Combine(Source, ModelFamilies.ConfigName)).TrimEnd().TrimEnd('}');
        System.IO.File.WriteAllText(Path.Combine(_cache.FullName, ModelFamilies.ConfigName), $"{text}, \"quantization_config\": {config}}}");

        var fault = Assert.Throws<DistTuneException>(() => ModelFamilies.Describe(_cache.FullName));

        Assert.Contains(named, fault.Message, StringComparison.Ordinal);
        Assert.Equal(FaultKind.Configuration, fault.Kind);
    }

    [Fact]
    public void A_weight_that_is_not_finite_is_named()
    {
        var shape = new float[64];
        shape[5] = float.NaN;
        var packed = new byte[32];

        Assert.Throws<DistTuneException>(() => FourBitBlocks.Quantize(shape, FourBitKind.Nf4, 64, packed, new float[1]));
    }

    private static byte[] Bytes(IFourBitWeights weights)
    {
        var state = weights.FindFourBit(Weight)!;
        var bytes = new FourBitBytes { Packed = new byte[state.PackedBytes], Scales = new byte[state.ScaleBytes], Nested = new float[state.NestedCount] };
        weights.ReadFourBit(Weight, bytes);
        return [.. bytes.Packed, .. bytes.Scales];
    }

    private IFourBitWeights Open(FourBitSettings settings) => QuantizedBase.Open(Source, Sha256, Spec, settings, _cache.FullName);
}
