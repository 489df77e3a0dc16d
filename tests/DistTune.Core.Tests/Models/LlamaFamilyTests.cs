using System.Text.Json.Nodes;
using DistTune.Core.Models;
using DistTune.Core.Tests.Formats;

namespace DistTune.Core.Tests.Models;

public sealed class LlamaFamilyTests
{
    [Fact]
    public void Describe_OnlyRequiredFields_TakesTheArchitecturesDefaults()
    {
        var spec = ConfigText.Describe();

        Assert.Equal((2, 4, 2048), (spec.KeyValueHeadCount, spec.HeadDimension, spec.MaxPositions));
        Assert.Equal((1e-6, 10000.0, 0.02), (spec.Norm.Epsilon, spec.Rotary.Theta, spec.InitializerRange));
        Assert.Null(spec.Rotary.Scaling);
        Assert.False(spec.TiedHead);
        Assert.Equal("lm_head", spec.Linears[^1].Name);
        Assert.Equal(15, spec.Linears.Length);
        Assert.Equal(["model.embed_tokens.weight", "model.layers.0.input_layernorm.weight", "model.layers.0.self_attn.q_proj.weight"], spec.Weights.Take(3).Select(weight => weight.Name));
    }

    [Fact]
    public void Describe_NewAndLegacySpelling_GiveTheSameSpec()
    {
        var scaling = """{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64}""";
        var parameters = JsonNode.Parse(scaling)!.AsObject();
        parameters["rope_theta"] = 500000.0;

        var modern = ConfigText.Describe(("rope_parameters", parameters), ("dtype", "bfloat16"));
        var legacy = ConfigText.Describe(("rope_theta", 500000.0), ("rope_scaling", JsonNode.Parse(scaling)), ("torch_dtype", "bfloat16"));

        Assert.Equal(new RotarySpec(500000, 4, new Llama3RotaryScaling(8, 1, 4, 64)), modern.Rotary);
        Assert.Equal(modern.Rotary, legacy.Rotary);
    }

    [Fact]
    public void Describe_OldTypeKeyOfScaling_IsRead() => Assert.Equal(
        new LinearRotaryScaling(4),
        ConfigText.Describe(("rope_scaling", JsonNode.Parse("""{"type":"linear","factor":4.0}"""))).Rotary.Scaling);

    [Fact]
    public void Describe_BiasesAndTiedHead_ShowInModulesAndWeights()
    {
        var spec = ConfigText.Describe(("attention_bias", true), ("mlp_bias", true), ("tie_word_embeddings", true));

        Assert.All(spec.Linears, linear => Assert.True(linear.HasBias));
        Assert.Equal(14, spec.Linears.Length);
        Assert.Equal(14, spec.Weights.Count(weight => weight.Name.EndsWith(".bias", StringComparison.Ordinal)));
        Assert.Equal("model.norm.weight", spec.Weights[^1].Name);
    }

    [Theory]
    [InlineData("7", new[] { 7 })]
    [InlineData("[7, 9]", new[] { 7, 9 })]
    [InlineData("null", new int[0])]
    public void Describe_EndToken_IsANumberOrAList(string json, int[] expected) =>
        Assert.Equal(expected, ConfigText.Describe(("eos_token_id", JsonNode.Parse(json))).EndTokens);

    [Fact]
    public void Describe_Folder_AddsEndTokensOfGenerationConfig()
    {
        using var folder = new TemporaryFolder();
        folder.Write("config.json", ConfigText.With(("eos_token_id", 2)));
        folder.Write("generation_config.json", """{"eos_token_id":[2,5]}""");

        Assert.Equal([2, 5], ModelFamilies.Describe(folder.Path).EndTokens);
    }

    [Theory]
    [InlineData("architectures", """["MambaForCausalLM"]""", "MambaForCausalLM", "LlamaForCausalLM")]
    [InlineData("architectures", """["Qwen2MoeForCausalLM"]""", "Qwen2MoeForCausalLM", "The nearest is 'Qwen2ForCausalLM'")]
    [InlineData("hidden_act", "\"mish\"", "mish", "silu")]
    [InlineData("rope_scaling", """{"rope_type":"ntk","factor":2.0}""", "ntk", "default, linear, dynamic, llama3, longrope, yarn")]
    [InlineData("rope_scaling", """{"rope_type":"lama3","factor":2.0}""", "lama3", "The nearest is 'llama3'")]
    [InlineData("rope_interleaved", "true", "rope_interleaved", "false")]
    [InlineData("partial_rotary_factor", "0.5", "partial_rotary_factor", "1")]
    [InlineData("quantization_config", """{"bits":4}""", "quantization_config", "GGUF")]
    public void Describe_Unsupported_NamesItAndWhatIsSupported(string field, string json, string named, string supported)
    {
        var error = Assert.Throws<DistTuneException>(() => ConfigText.Describe((field, JsonNode.Parse(json))));

        Assert.Equal(FaultKind.Configuration, error.Kind);
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
        Assert.Contains(supported, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hidden_size", "0")]
    [InlineData("hidden_size", "8.5")]
    [InlineData("hidden_size", "\"8\"")]
    [InlineData("hidden_size", "99999999999")]
    [InlineData("num_attention_heads", "3")]
    [InlineData("num_key_value_heads", "3")]
    [InlineData("head_dim", "3")]
    [InlineData("num_hidden_layers", "2000000000")]
    [InlineData("head_dim", "2000000000")]
    [InlineData("rms_norm_eps", "-1")]
    [InlineData("tie_word_embeddings", "1")]
    [InlineData("eos_token_id", "[-1]")]
    [InlineData("rope_scaling", "7")]
    [InlineData("rope_scaling", """{"rope_type":"linear"}""")]
    [InlineData("vocab_size", "null")]
    public void Describe_WrongField_IsAFaultOfTheFile(string field, string json)
    {
        var error = Assert.Throws<DistTuneException>(() => ConfigText.Describe((field, JsonNode.Parse(json))));

        Assert.Equal(FaultKind.InvalidFile, error.Kind);
        Assert.Contains("config.json", error.Message, StringComparison.Ordinal);
    }
}
