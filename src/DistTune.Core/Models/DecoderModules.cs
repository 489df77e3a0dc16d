using System.Collections.Immutable;

namespace DistTune.Core.Models;

/// <summary>The sizes that every module's shape follows from.</summary>
internal sealed record DecoderShape(int Vocabulary, int Hidden, int Intermediate, int Layers, int Heads, int KeyValueHeads, int HeadDimension)
{
    private const int MaxLayers = 4096;

    /// <summary>Reads the sizes.</summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="defaultHeadDimension">Width of a head where the configuration is silent; null for hidden / heads.</param>
    /// <exception cref="DistTuneException">A size is missing or wrong, or two do not go together.</exception>
    public static DecoderShape Read(ConfigReader reader, int? defaultHeadDimension)
    {
        var hidden = reader.PositiveInteger("hidden_size");
        var heads = reader.PositiveInteger("num_attention_heads");
        var keyValueHeads = reader.PositiveInteger("num_key_value_heads", heads);
        if (heads % keyValueHeads != 0)
        {
            throw reader.Contradiction($"num_key_value_heads ({keyValueHeads}) does not divide num_attention_heads ({heads})");
        }

        if (!reader.Has("head_dim") && defaultHeadDimension is null && hidden % heads != 0)
        {
            throw reader.Contradiction($"without head_dim, num_attention_heads ({heads}) must divide hidden_size ({hidden})");
        }

        var headDimension = reader.PositiveInteger("head_dim", defaultHeadDimension ?? (hidden / heads));
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

    /// <summary>Width of all query heads.</summary>
    public int QueryWidth => checked(Heads * HeadDimension);

    /// <summary>Width of all key (or value) heads.</summary>
    public int KeyValueWidth => checked(KeyValueHeads * HeadDimension);

    /// <summary>This shape, once its products are known to be within bounds.</summary>
    /// <exception cref="DistTuneException">A product of fields is beyond what any model has.</exception>
    private DecoderShape Checked(ConfigReader reader) =>
        Layers <= MaxLayers && ((long)Heads + (2L * KeyValueHeads)) * HeadDimension <= int.MaxValue && Intermediate <= int.MaxValue / 2
            ? this
            : throw reader.Contradiction(
                $"{Layers} layers of {Heads} heads of width {HeadDimension} and a feed-forward width of {Intermediate} are beyond any model (at most {MaxLayers} layers and 2^31 features)");
}

/// <summary>
/// The modules of a decoder with Hugging Face's usual names, in module order. All families share the names; they differ in which
/// projections are one module and in the norms.
/// </summary>
internal sealed class DecoderModules(DecoderShape shape, FamilyTraits traits, bool tiedHead)
{
    private const string Head = "lm_head";

    /// <summary>Per layer q, k, v (or qkv), o, gate, up (or gate_up), down; then the head, if it is not tied.</summary>
    public ImmutableArray<LinearModule> Linears()
    {
        var linears = ImmutableArray.CreateBuilder<LinearModule>();
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            linears.AddRange(Attention(layer));
            linears.AddRange(FeedForward(layer));
        }

        if (!tiedHead)
        {
            linears.Add(new LinearModule(Head, shape.Hidden, shape.Vocabulary, HasBias: false, shape.Layers));
        }

        return linears.ToImmutable();
    }

    /// <summary>Every weight: embedding, layers with their norms, final norm, head.</summary>
    public ImmutableArray<WeightSpec> Weights()
    {
        var weights = ImmutableArray.CreateBuilder<WeightSpec>();
        weights.Add(new WeightSpec("model.embed_tokens.weight", [shape.Vocabulary, shape.Hidden], -1));
        for (var layer = 0; layer < shape.Layers; layer++)
        {
            AddLayer(weights, layer);
        }

        weights.Add(new WeightSpec("model.norm.weight", [shape.Hidden], shape.Layers));
        if (!tiedHead)
        {
            weights.Add(new WeightSpec($"{Head}.weight", [shape.Vocabulary, shape.Hidden], shape.Layers));
        }

        return weights.ToImmutable();
    }

    private void AddLayer(ImmutableArray<WeightSpec>.Builder weights, int layer)
    {
        AddNorm("input_layernorm", shape.Hidden);
        AddLinears(weights, Attention(layer));
        if (traits.QueryKeyNorm)
        {
            AddNorm("self_attn.q_norm", shape.HeadDimension);
            AddNorm("self_attn.k_norm", shape.HeadDimension);
        }

        AddNorm("post_attention_layernorm", shape.Hidden);
        if (traits.PostNorms)
        {
            AddNorm("pre_feedforward_layernorm", shape.Hidden);
        }

        AddLinears(weights, FeedForward(layer));
        if (traits.PostNorms)
        {
            AddNorm("post_feedforward_layernorm", shape.Hidden);
        }

        void AddNorm(string name, int width) => weights.Add(new WeightSpec($"model.layers.{layer}.{name}.weight", [width], layer));
    }

    private static void AddLinears(ImmutableArray<WeightSpec>.Builder weights, LinearModule[] linears)
    {
        foreach (var linear in linears)
        {
            weights.Add(new WeightSpec($"{linear.Name}.weight", [linear.Out, linear.In], linear.Layer));
            if (linear.HasBias)
            {
                weights.Add(new WeightSpec($"{linear.Name}.bias", [linear.Out], linear.Layer));
            }
        }
    }

    private LinearModule[] Attention(int layer)
    {
        var prefix = $"model.layers.{layer}.self_attn";
        var bias = traits.Biases.QueryKeyValue;
        var output = new LinearModule($"{prefix}.o_proj", shape.QueryWidth, shape.Hidden, traits.Biases.Output, layer);
        return traits.FusedProjections
            ? [new($"{prefix}.qkv_proj", shape.Hidden, checked(shape.QueryWidth + (2 * shape.KeyValueWidth)), bias, layer), output]
            :
            [
                new($"{prefix}.q_proj", shape.Hidden, shape.QueryWidth, bias, layer),
                new($"{prefix}.k_proj", shape.Hidden, shape.KeyValueWidth, bias, layer),
                new($"{prefix}.v_proj", shape.Hidden, shape.KeyValueWidth, bias, layer),
                output,
            ];
    }

    private LinearModule[] FeedForward(int layer)
    {
        var prefix = $"model.layers.{layer}.mlp";
        var bias = traits.Biases.FeedForward;
        var down = new LinearModule($"{prefix}.down_proj", shape.Intermediate, shape.Hidden, bias, layer);
        return traits.FusedProjections
            ? [new($"{prefix}.gate_up_proj", shape.Hidden, checked(2 * shape.Intermediate), bias, layer), down]
            :
            [
                new($"{prefix}.gate_proj", shape.Hidden, shape.Intermediate, bias, layer),
                new($"{prefix}.up_proj", shape.Hidden, shape.Intermediate, bias, layer),
                down,
            ];
    }
}
