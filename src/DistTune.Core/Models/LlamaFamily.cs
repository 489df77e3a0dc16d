using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Quantization;

namespace DistTune.Core.Models;

/// <summary>Llama 1 to 3 and what shares their architecture, such as SmolLM2 (Touvron et al. 2023, arXiv:2302.13971).</summary>
internal sealed class LlamaFamily : IModelFamily
{
    /// <inheritdoc/>
    public ImmutableArray<string> Architectures => ["LlamaForCausalLM"];

    /// <inheritdoc/>
    public DecoderSpec Describe(JsonElement config, string path)
    {
        var reader = new ConfigReader(config, path);
        RefuseUnsupported(reader);
        var shape = ReadShape(reader);
        var attentionBias = reader.Flag("attention_bias", false);
        var feedForwardBias = reader.Flag("mlp_bias", false);
        var tied = reader.Flag("tie_word_embeddings", false);
        var modules = new DecoderModules(shape, attentionBias, attentionBias, feedForwardBias, tied);
        var begin = reader.Tokens("bos_token_id");
        return new DecoderSpec
        {
            Family = "llama",
            VocabularySize = shape.Vocabulary,
            HiddenSize = shape.Hidden,
            IntermediateSize = shape.Intermediate,
            LayerCount = shape.Layers,
            HeadCount = shape.Heads,
            KeyValueHeadCount = shape.KeyValueHeads,
            HeadDimension = shape.HeadDimension,
            MaxPositions = reader.PositiveInteger("max_position_embeddings", 2048),
            Norm = new NormSpec(reader.PositiveNumber("rms_norm_eps", 1e-6)),
            Rotary = RotaryReader.Read(reader, shape.HeadDimension),
            QueryKeyValueBias = attentionBias,
            AttentionOutputBias = attentionBias,
            FeedForwardBias = feedForwardBias,
            TiedHead = tied,
            BeginToken = begin.IsEmpty ? null : begin[0],
            EndTokens = reader.Tokens("eos_token_id"),
            InitializerRange = reader.PositiveNumber("initializer_range", 0.02),
            Linears = modules.Linears(),
            Weights = modules.Weights(),
        };
    }

    private static DecoderShape ReadShape(ConfigReader reader)
    {
        var hidden = reader.PositiveInteger("hidden_size");
        var heads = reader.PositiveInteger("num_attention_heads");
        var keyValueHeads = reader.PositiveInteger("num_key_value_heads", heads);
        if (heads % keyValueHeads != 0)
        {
            throw reader.Contradiction($"num_key_value_heads ({keyValueHeads}) does not divide num_attention_heads ({heads})");
        }

        if (!reader.Has("head_dim") && hidden % heads != 0)
        {
            throw reader.Contradiction($"without head_dim, num_attention_heads ({heads}) must divide hidden_size ({hidden})");
        }

        var headDimension = reader.PositiveInteger("head_dim", hidden / heads);
        if (headDimension % 2 != 0)
        {
            throw reader.Contradiction($"head_dim is {headDimension}; rotary pairs need an even number");
        }

        return new DecoderShape(
            reader.PositiveInteger("vocab_size"),
            hidden,
            reader.PositiveInteger("intermediate_size"),
            reader.PositiveInteger("num_hidden_layers"),
            heads,
            keyValueHeads,
            headDimension).Checked(reader);
    }

    private static void RefuseUnsupported(ConfigReader reader)
    {
        var activation = reader.Text("hidden_act") ?? "silu";
        if (activation is not ("silu" or "swish"))
        {
            throw reader.Unsupported("hidden_act", activation, "silu");
        }

        if (reader.Flag("rope_interleaved", false))
        {
            throw reader.Unsupported("rope_interleaved", "true", "false");
        }

        QuantizationConfig.Check(reader);
    }
}
