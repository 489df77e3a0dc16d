using System.Collections.Immutable;

namespace DistTune.Core.Models;

/// <summary>The sizes that every module's shape follows from.</summary>
internal sealed record DecoderShape(int Vocabulary, int Hidden, int Intermediate, int Layers, int Heads, int KeyValueHeads, int HeadDimension)
{
    private const int MaxLayers = 4096;

    /// <summary>Width of all query heads.</summary>
    public int QueryWidth => checked(Heads * HeadDimension);

    /// <summary>Width of all key (or value) heads.</summary>
    public int KeyValueWidth => checked(KeyValueHeads * HeadDimension);

    /// <summary>This shape, once its products are known to be within bounds.</summary>
    /// <exception cref="DistTuneException">A product of fields is beyond what any model has.</exception>
    public DecoderShape Checked(ConfigReader reader) =>
        Layers <= MaxLayers && (long)Heads * HeadDimension <= int.MaxValue
            ? this
            : throw reader.Contradiction(
                $"{Layers} layers of {Heads} heads of width {HeadDimension} are beyond any model (at most {MaxLayers} layers and 2^31 features)");
}

/// <summary>
/// The modules of a decoder with separate projections and Hugging Face's usual names, in module order; families that share the
/// names share this.
/// </summary>
internal sealed class DecoderModules(DecoderShape shape, bool queryKeyValueBias, bool outputBias, bool feedForwardBias, bool tiedHead)
{
    private const string Head = "lm_head";

    /// <summary>Per layer q, k, v, o, gate, up, down; then the head, if it is not tied.</summary>
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
            weights.Add(new WeightSpec($"model.layers.{layer}.input_layernorm.weight", [shape.Hidden], layer));
            AddLinears(weights, Attention(layer));
            weights.Add(new WeightSpec($"model.layers.{layer}.post_attention_layernorm.weight", [shape.Hidden], layer));
            AddLinears(weights, FeedForward(layer));
        }

        weights.Add(new WeightSpec("model.norm.weight", [shape.Hidden], shape.Layers));
        if (!tiedHead)
        {
            weights.Add(new WeightSpec($"{Head}.weight", [shape.Vocabulary, shape.Hidden], shape.Layers));
        }

        return weights.ToImmutable();
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
        return
        [
            new($"{prefix}.q_proj", shape.Hidden, shape.QueryWidth, queryKeyValueBias, layer),
            new($"{prefix}.k_proj", shape.Hidden, shape.KeyValueWidth, queryKeyValueBias, layer),
            new($"{prefix}.v_proj", shape.Hidden, shape.KeyValueWidth, queryKeyValueBias, layer),
            new($"{prefix}.o_proj", shape.QueryWidth, shape.Hidden, outputBias, layer),
        ];
    }

    private LinearModule[] FeedForward(int layer)
    {
        var prefix = $"model.layers.{layer}.mlp";
        return
        [
            new($"{prefix}.gate_proj", shape.Hidden, shape.Intermediate, feedForwardBias, layer),
            new($"{prefix}.up_proj", shape.Hidden, shape.Intermediate, feedForwardBias, layer),
            new($"{prefix}.down_proj", shape.Intermediate, shape.Hidden, feedForwardBias, layer),
        ];
    }
}
