using System.Text.Json.Nodes;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Models;

public sealed class FamilyTests
{
    [Theory]
    [InlineData("phi3-tiny")]
    [InlineData("phi3-longrope")]
    [InlineData("mistral-tiny")]
    [InlineData("qwen2-tiny")]
    [InlineData("qwen3-tiny")]
    [InlineData("gemma2-tiny")]
    [InlineData("gemma3-text-tiny")]
    public void Both_spellings_of_a_configuration_say_the_same_and_every_weight_has_its_home(string name)
    {
        var folder = Golden.Path("models", name);
        var modern = ModelFamilies.Describe(folder);
        using var document = JsonFile.Read(Path.Combine(folder, "config.legacy.json"));
        var legacy = ModelFamilies.Describe(document.RootElement, "config.legacy.json");

        Assert.Equal(Plain(modern), Plain(legacy));
        Assert.Equal(modern.Windows, legacy.Windows);
        Assert.Equal(Factors(modern), Factors(legacy));
        using var weights = WeightSources.Open(folder);
        ModelFamilies.CheckWeights(modern, weights, folder);
        Assert.Equal(weights.Weights.Length, modern.Weights.Length);

        // What lists don't compare by is compared apart.
        static DecoderSpec Plain(DecoderSpec spec) => spec with
        {
            Windows = [],
            EndTokens = [],
            Linears = [],
            Weights = [],
            Rotary = spec.Rotary.Scaling is LongRotaryScaling scaling ? spec.Rotary with { Scaling = scaling with { ShortFactors = [], LongFactors = [] } } : spec.Rotary,
        };

        static float[] Factors(DecoderSpec spec) => spec.Rotary.Scaling is LongRotaryScaling scaling ? [.. scaling.ShortFactors, .. scaling.LongFactors] : [];
    }

    [Fact]
    public void Fused_modules_are_targets_of_their_own()
    {
        var spec = ModelFamilies.Describe(Golden.Path("models", "phi3-tiny"));

        var targets = AdapterLayout.Targets(spec, new AdapterSettings(AdapterKind.Lora, 8, 16, [AdapterLayout.AllLinear]));

        Assert.Equal(["qkv_proj", "o_proj", "gate_up_proj", "down_proj"], targets.Where(target => target.Layer == 0).Select(target => target.Name[(target.Name.LastIndexOf('.') + 1)..]));
        Assert.Equal((4 + (2 * 2)) * 16, targets[0].Out);
    }

    [Fact]
    public void Mistral_without_the_field_has_the_architectures_window_and_with_null_none()
    {
        Assert.Equal([4096, 4096], Describe("MistralForCausalLM").Windows);
        Assert.Empty(Describe("MistralForCausalLM", ("sliding_window", null)).Windows);
        Assert.Equal([8, 8], Describe("MistralForCausalLM", ("sliding_window", 8)).Windows);
    }

    [Theory]
    [InlineData("Qwen2ForCausalLM")]
    [InlineData("Qwen3ForCausalLM")]
    public void Qwen_slides_from_max_window_layers_upward_and_only_if_switched_on(string architecture)
    {
        Assert.Empty(Describe(architecture, ("sliding_window", 16), ("max_window_layers", 1)).Windows);
        Assert.Equal([null, 16], Describe(architecture, ("sliding_window", 16), ("max_window_layers", 1), ("use_sliding_window", true)).Windows);
        Assert.Empty(Describe(architecture, ("sliding_window", 16), ("use_sliding_window", true)).Windows);
    }

    [Fact]
    public void Gemma_alternates_windows_by_the_pattern_where_no_types_are_listed()
    {
        Assert.Equal([4096, null], Describe("Gemma2ForCausalLM").Windows);
        Assert.Equal([32, null], Describe("Gemma3ForCausalLM", ("sliding_window", 32), ("sliding_window_pattern", 2)).Windows);
        Assert.Equal([4096, 4096], Describe("Gemma3ForCausalLM").Windows);
    }

    [Fact]
    public void Gemma_takes_the_architectures_caps_and_null_switches_them_off()
    {
        var silent = Describe("Gemma2ForCausalLM");
        var off = Describe("Gemma2ForCausalLM", ("attn_logit_softcapping", null), ("final_logit_softcapping", null));

        Assert.Equal((50.0, 30.0, 256), (silent.AttentionSoftCap, silent.LogitSoftCap, silent.HeadDimension));
        Assert.Equal((null, null), (off.AttentionSoftCap, off.LogitSoftCap));
        Assert.True(silent.TiedHead);
        Assert.Null(Describe("Gemma3ForCausalLM", ("attn_logit_softcapping", 50)).AttentionSoftCap);
        Assert.Equal((10000.0, 1e6), (Describe("Gemma3ForCausalLM").LocalRotary!.Theta, Describe("Gemma3ForCausalLM").Rotary.Theta));
    }

    [Theory]
    [InlineData("longrope")]
    [InlineData("su")]
    [InlineData("yarn")]
    public void LongRoPE_is_read_under_each_of_its_names(string type)
    {
        var scaling = JsonNode.Parse($$"""{"type":"{{type}}","short_factor":[1.0,1.5],"long_factor":[2.0,4.0]}""");

        var spec = Describe("Phi3ForCausalLM", ("rope_scaling", scaling), ("original_max_position_embeddings", 32), ("max_position_embeddings", 128));

        var read = Assert.IsType<LongRotaryScaling>(spec.Rotary.Scaling);
        Assert.Equal(32, read.OriginalMaxPositions);
        Assert.Equal(Math.Sqrt(1 + (Math.Log(4) / Math.Log(32))), read.AttentionFactor, 1e-12);
    }

    [Fact]
    public void A_factor_beside_LongRoPEs_lengths_counts_before_their_ratio()
    {
        var scaling = JsonNode.Parse("""{"rope_type":"longrope","factor":8,"short_factor":[1.0,1.5],"long_factor":[2.0,4.0],"original_max_position_embeddings":32}""");

        var spec = Describe("Phi3ForCausalLM", ("rope_parameters", scaling), ("max_position_embeddings", 128));

        Assert.Equal(Math.Sqrt(1 + (Math.Log(8) / Math.Log(32))), Assert.IsType<LongRotaryScaling>(spec.Rotary.Scaling).AttentionFactor, 1e-12);
    }

    [Fact]
    public void Yarn_and_dynamic_scaling_stretch_the_longest_sequence()
    {
        var yarn = ConfigText.Describe(("max_position_embeddings", 64), ("rope_scaling", JsonNode.Parse("""{"type":"yarn","factor":4.0,"original_max_position_embeddings":64,"truncate":false}""")));
        var dynamic = ConfigText.Describe(("max_position_embeddings", 64), ("rope_scaling", JsonNode.Parse("""{"type":"dynamic","factor":2.0}""")));

        Assert.Equal(new YarnRotaryScaling(4, 64, 32, 1, Truncate: false, (0.1 * Math.Log(4)) + 1), yarn.Rotary.Scaling);
        Assert.Equal((256, 128), (yarn.MaxPositions, dynamic.MaxPositions));
    }

    [Theory]
    [InlineData("Phi3ForCausalLM", "rope_scaling", """{"type":"longrope","short_factor":[1.0],"long_factor":[1.0]}""", "short_factor has 1 numbers")]
    [InlineData("Phi3ForCausalLM", "rope_scaling", """{"type":"longrope","short_factor":[1.0,0],"long_factor":[1.0,1.0]}""", "short_factor must be")]
    [InlineData("Phi3ForCausalLM", "partial_rotary_factor", "0.8", "partial_rotary_factor 0.8")]
    [InlineData("Phi3ForCausalLM", "attention_bias", "true", "attention_bias")]
    [InlineData("Gemma2ForCausalLM", "layer_types", """["full_attention"]""", "names 1 layers; num_hidden_layers is 2")]
    [InlineData("Gemma2ForCausalLM", "layer_types", """["full_attention","chunked_attention"]""", "chunked_attention")]
    [InlineData("Gemma2ForCausalLM", "sliding_window", "null", "gives it no width")]
    [InlineData("Gemma2ForCausalLM", "use_bidirectional_attention", "true", "use_bidirectional_attention")]
    [InlineData("Qwen2ForCausalLM", "layer_types", """["full_attention","sliding_attention"]""", "gives it no width")]
    [InlineData("Gemma3ForCausalLM", "rope_parameters", """{"rope_theta":10000.0}""", "full_attention")]
    public void What_a_family_cannot_be_is_refused_by_name(string architecture, string field, string json, string named)
    {
        var error = Assert.Throws<DistTuneException>(() => Describe(architecture, (field, JsonNode.Parse(json))));

        Assert.Contains(named, error.Message, StringComparison.Ordinal);
        Assert.Contains("config.json", error.Message, StringComparison.Ordinal);
    }

    private static DecoderSpec Describe(string architecture, params (string Name, JsonNode? Value)[] changes) =>
        ConfigText.Describe([("architectures", new JsonArray(architecture)), .. changes]);
}
