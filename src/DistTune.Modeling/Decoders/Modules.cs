// Shapes: T rows (tokens of all segments), D width, H query heads, K key/value heads, d head width, I feed-forward width,
// V vocabulary, R rank.
using System.Collections.Immutable;

namespace DistTune.Modeling.Decoders;

/// <summary>Where a module of the base stands in a fused projection.</summary>
/// <param name="Name">The module's name, without <c>.weight</c>.</param>
/// <param name="Row">First row in the fused matrix.</param>
/// <param name="Rows">Number of rows.</param>
internal readonly record struct ModuleRows(string Name, long Row, long Rows);

/// <summary>Rows of a fused matrix (or elements of a fused bias) that are one trained tensor.</summary>
/// <param name="Entry">Index of the tensor in the parameter layout.</param>
/// <param name="Row">First row in the fused tensor.</param>
/// <param name="Rows">Number of rows.</param>
internal readonly record struct TrainedRows(int Entry, long Row, long Rows);

/// <summary>A linear map y = W x + b (+ LoRA); several modules of the base with the same input stand in it one below the other.</summary>
/// <param name="Weight">[out, in], however it is stored.</param>
/// <param name="Bias">[out], fp32.</param>
/// <param name="Modules">The base's modules that stand in it.</param>
internal sealed record Projection(FrozenMatrix Weight, Tensor? Bias, ImmutableArray<ModuleRows> Modules)
{
    /// <summary>The adapter on it, if any.</summary>
    public LoraFactors? Lora { get; init; }

    /// <summary>DoRA's scales of the rows, if any; never without <see cref="Lora"/>.</summary>
    public RowScales? Dora { get; init; }

    /// <summary>The parts of the weight that are trained themselves.</summary>
    public ImmutableArray<TrainedRows> TrainedWeight { get; init; } = [];

    /// <summary>The parts of the bias that are trained themselves.</summary>
    public ImmutableArray<TrainedRows> TrainedBias { get; init; } = [];

    /// <summary>Whether a gradient of anything here is asked for.</summary>
    public bool IsTrained => Lora is not null || !TrainedWeight.IsEmpty || !TrainedBias.IsEmpty;
}

/// <summary>The weight of a norm, which its gain follows from.</summary>
/// <param name="Value">[D], fp32.</param>
/// <param name="Entry">Index in the parameter layout, or null if frozen.</param>
internal sealed record Gain(Tensor Value, int? Entry = null)
{
    /// <summary>The norm's name, without <c>.weight</c>.</summary>
    public string Module { get; init; } = "";
}

/// <summary>One decoder layer.</summary>
internal sealed record LayerModules(
    Gain AttentionNorm,
    Projection QueryKeyValue,
    Projection AttentionOutput,
    Gain FeedForwardNorm,
    Projection GateUp,
    Projection Down)
{
    /// <summary>Norms each query head; null where there is none.</summary>
    public Gain? QueryNorm { get; init; }

    /// <summary>Norms each key head; null where there is none.</summary>
    public Gain? KeyNorm { get; init; }

    /// <summary>Norms what attention adds to the residual stream; null where there is none.</summary>
    public Gain? AttentionPostNorm { get; init; }

    /// <summary>Norms what the feed-forward block adds to the residual stream; null where there is none.</summary>
    public Gain? FeedForwardPostNorm { get; init; }

    /// <summary>The projections, in module order.</summary>
    public IEnumerable<Projection> Projections => [QueryKeyValue, AttentionOutput, GateUp, Down];

    /// <summary>Whether a gradient of anything here is asked for.</summary>
    public bool IsTrained => Gains.Any(gain => gain?.Entry is not null) || Projections.Any(projection => projection.IsTrained);

    private IEnumerable<Gain?> Gains => [AttentionNorm, QueryNorm, KeyNorm, AttentionPostNorm, FeedForwardNorm, FeedForwardPostNorm];
}

/// <summary>All modules of a decoder, with or without an adapter on them.</summary>
/// <param name="Embedding">[V, D].</param>
/// <param name="EmbeddingEntry">Index in the parameter layout, or null if frozen.</param>
/// <param name="Layers">The layers.</param>
/// <param name="FinalNorm">The last norm.</param>
/// <param name="Head">[V, D]; shares the embedding's storage if tied.</param>
internal sealed record DecoderModules(Tensor Embedding, int? EmbeddingEntry, ImmutableArray<LayerModules> Layers, Gain FinalNorm, Projection Head)
{
    /// <summary>The adapters on the embedding.</summary>
    public ImmutableArray<EmbeddingLora> EmbeddingLora { get; init; } = [];

    /// <summary>Whether a gradient of the embedding or of an adapter on it is asked for.</summary>
    public bool TrainsEmbedding => EmbeddingEntry is not null || !EmbeddingLora.IsEmpty;

    /// <summary>Index of the first layer that needs its backward pass, or the layer count if only what follows the layers is trained.</summary>
    public int FirstTrainedLayer => TrainsEmbedding ? 0 : FirstTrained(Layers);

    private static int FirstTrained(ImmutableArray<LayerModules> layers)
    {
        for (var layer = 0; layer < layers.Length; layer++)
        {
            if (layers[layer].IsTrained)
            {
                return layer;
            }
        }

        return layers.Length;
    }
}
