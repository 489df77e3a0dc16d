using DistTune.Core.Configuration;
using DistTune.Core.Quantization;

namespace DistTune.Core.Tests.Quantization;

public sealed class QuantizationKeysTests
{
    private const string Minimal = """
        base_model: model
        datasets: [{path: rows.jsonl}]
        output_dir: out

        """;

    [Theory]
    [InlineData("adapter: qlora", FourBitKind.Nf4, 64, true)]
    [InlineData("{adapter: qlora, load_in_4bit: true, bnb_4bit_quant_type: fp4, bnb_4bit_use_double_quant: false, bnb_4bit_blocksize: 128}", FourBitKind.Fp4, 128, false)]
    public void Qlora_holds_the_base_in_four_bits(string keys, FourBitKind kind, int blockSize, bool doubled) =>
        Assert.Equal(new FourBitSettings(kind, blockSize, doubled), Load(keys).Quantization);

    [Fact]
    public void Lora_does_not() => Assert.Null(Load("adapter: lora").Quantization);

    [Theory]
    [InlineData("{adapter: lora, load_in_4bit: true}", "load_in_4bit: true goes with adapter: qlora")]
    [InlineData("{adapter: qlora, load_in_4bit: false}", "load_in_4bit: false contradicts adapter: qlora")]
    [InlineData("{adapter: lora, bnb_4bit_quant_type: fp4}", "bnb_4bit_quant_type only goes with adapter: qlora")]
    [InlineData("{adapter: qlora, bnb_4bit_blocksize: 100}", "bnb_4bit_blocksize must be one of")]
    [InlineData("{adapter: qlora, load_in_8bit: true}", "load_in_8bit")]
    public void What_contradicts_itself_is_refused(string keys, string expected)
    {
        var fault = Assert.Throws<ConfigurationException>(() => Load(keys));

        Assert.Contains(expected, fault.Message, StringComparison.Ordinal);
    }

    private static RunConfig Load(string keys) =>
        RunConfigLoader.Load(new ConfigSource(Minimal + keys.Trim('{', '}').Replace(", ", "\n", StringComparison.Ordinal), "run.yaml", "/runs"), [], "/runs");
}
