using System.Collections.Immutable;

namespace DistTune.Core.Models;

/// <summary>Non-linearity of the feed-forward block.</summary>
public enum Activation
{
    /// <summary>x * sigmoid(x).</summary>
    Silu,

    /// <summary>x * P(X &lt;= x) of a standard normal X, exact (erf).</summary>
    Gelu,

    /// <summary>The tanh approximation of <see cref="Gelu"/> (Hendrycks and Gimpel 2016, arXiv:1606.08415).</summary>
    GeluTanh,

    /// <summary>max(x, 0).</summary>
    Relu,
}

/// <summary>Root-mean-square norm: x * rsqrt(mean(x^2) + epsilon), then times the gain.</summary>
/// <param name="Epsilon">Added to the mean square.</param>
/// <param name="OnePlusWeight">The gain is one plus the stored weight, as in Gemma, and not the weight itself.</param>
public sealed record NormSpec(double Epsilon, bool OnePlusWeight = false);

/// <summary>A linear module of the base: y = W x + b with W [Out, In].</summary>
/// <param name="Name">Dotted name without <c>.weight</c>, such as <c>model.layers.0.self_attn.q_proj</c>.</param>
/// <param name="In">Input features.</param>
/// <param name="Out">Output features.</param>
/// <param name="HasBias">Whether there is a <c>.bias</c>.</param>
/// <param name="Layer">Decoder layer, or the layer count for the output head.</param>
public sealed record LinearModule(string Name, int In, int Out, bool HasBias, int Layer);

/// <summary>
/// A decoder described by data alone: what a family's <c>config.json</c> comes down to. Modeling builds one generic decoder from it,
/// so that a new family is one file that fills this record.
/// </summary>
public sealed record DecoderSpec
{
    /// <summary>Name of the family, as in <c>model_type</c>.</summary>
    public required string Family { get; init; }

    /// <summary>V.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>D, the width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width of the feed-forward block.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of decoder layers.</summary>
    public required int LayerCount { get; init; }

    /// <summary>H, query heads.</summary>
    public required int HeadCount { get; init; }

    /// <summary>K, key and value heads; divides <see cref="HeadCount"/>.</summary>
    public required int KeyValueHeadCount { get; init; }

    /// <summary>Width of a head; need not be hidden / heads.</summary>
    public required int HeadDimension { get; init; }

    /// <summary>Longest sequence the base was made for.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Every norm: before attention, before the feed-forward block, at the end, and where the following two flags add one.</summary>
    public required NormSpec Norm { get; init; }

    /// <summary>Whether each query and key head is normed before it is rotated.</summary>
    public bool QueryKeyNorm { get; init; }

    /// <summary>Whether the outputs of attention and of the feed-forward block are normed before they join the residual stream.</summary>
    public bool PostNorms { get; init; }

    /// <summary>The rotary embedding of layers that see everything, and of all layers if <see cref="LocalRotary"/> is null.</summary>
    public required RotarySpec Rotary { get; init; }

    /// <summary>The rotary embedding of layers with a window; null where it is the same.</summary>
    public RotarySpec? LocalRotary { get; init; }

    /// <summary>How many positions each layer sees, its own included; null where it sees all before it. Empty if no layer has a window.</summary>
    public ImmutableArray<int?> Windows { get; init; } = [];

    /// <summary>Factor on q k; null for 1 / sqrt(head dimension).</summary>
    public double? AttentionScale { get; init; }

    /// <summary>c of attention scores c * tanh(score / c), before the mask; null leaves them.</summary>
    public double? AttentionSoftCap { get; init; }

    /// <summary>c of logits c * tanh(logit / c); null leaves them.</summary>
    public double? LogitSoftCap { get; init; }

    /// <summary>Factor on the token embeddings.</summary>
    public double EmbeddingScale { get; init; } = 1;

    /// <summary>The feed-forward non-linearity.</summary>
    public Activation Activation { get; init; } = Activation.Silu;

    /// <summary>Whether q, k, v have biases.</summary>
    public bool QueryKeyValueBias { get; init; }

    /// <summary>Whether the attention output projection has a bias.</summary>
    public bool AttentionOutputBias { get; init; }

    /// <summary>Whether gate, up and down have biases.</summary>
    public bool FeedForwardBias { get; init; }

    /// <summary>Whether the output head is the embedding.</summary>
    public bool TiedHead { get; init; }

    /// <summary>Beginning-of-sequence token, if the configuration names one.</summary>
    public int? BeginToken { get; init; }

    /// <summary>End-of-sequence tokens named by the configuration.</summary>
    public ImmutableArray<int> EndTokens { get; init; } = [];

    /// <summary>Standard deviation of the matrices of a model that is trained from scratch.</summary>
    public double InitializerRange { get; init; } = 0.02;

    /// <summary>The linear modules in module order: per layer q, k, v (or one for all), o, gate, up (or one for both), down; then the head, if it is not tied.</summary>
    public required ImmutableArray<LinearModule> Linears { get; init; }

    /// <summary>Every weight of the base with its shape, in module order (embedding, layers with their norms, final norm, head).</summary>
    public required ImmutableArray<WeightSpec> Weights { get; init; }

    /// <summary>
    /// Whether files may hold this weight although nothing reads it: what older writers left in them although it follows from the
    /// configuration, and the second name of a tied head.
    /// </summary>
    public bool IsRedundant(string weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        return weight.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal) || (TiedHead && weight == "lm_head.weight");
    }

    /// <summary>How many positions a layer sees; null for all.</summary>
    public int? WindowOf(int layer) => Windows.IsDefaultOrEmpty ? null : Windows[layer];
}

/// <summary>
/// A weight of the base: its name as on disk in Hugging Face's naming, its shape, and the layer that owns it (-1 before the first, the
/// layer count after the last).
/// </summary>
public sealed record WeightSpec(string Name, ImmutableArray<long> Shape, int Layer);

/// <summary>Turns a <c>config.json</c> of one architecture into a <see cref="DecoderSpec"/>.</summary>
public interface IModelFamily
{
    /// <summary>The values of <c>architectures[0]</c> this family answers to.</summary>
    ImmutableArray<string> Architectures { get; }

    /// <summary>Reads the configuration.</summary>
    /// <exception cref="DistTuneException">A field is missing, of the wrong type, or of a kind that is not supported; the message names it.</exception>
    DecoderSpec Describe(System.Text.Json.JsonElement config, string path);
}
