// Shapes: T rows, R predicting rows, D width, V vocabulary, C rows of a chunk of logits.
using DistTune.Core.Models;
using DistTune.Core.Training;

namespace DistTune.Core.Memory;

/// <summary>The most that one lane holds: at the loss, in a layer's derivative, at the embedding, or where it measures.</summary>
/// <param name="question">The run and the process.</param>
internal sealed class ActivationMemory(MemoryQuestion question)
{
    private const long ChunkLogits = 1 << 24;
    private const long CacheBlock = 128;

    // Sums over the classes are taken in double, a few rows at a time.
    private const long WideRows = 2 * (1 << 20);

    private readonly DecoderSpec _spec = question.Spec;
    private readonly LayerMemory _layer = new(question);

    /// <summary>Bytes of a lane.</summary>
    public long Bytes => Held.Most(Training(question.Batch), Evaluating(question.Evaluation), Generating(question.Generation)).Bytes;

    private Held OfEmbedding => Held.Of((long)_spec.VocabularySize * _spec.HiddenSize);

    private Held WidenedHead => question is { BaseInBFloat16: true, TrainsAllWeights: false } ? OfEmbedding : Held.Nothing;

    private bool TrainsEmbedding => question.Layout.Entries.Any(entry => entry is { Role: TensorRole.Weight, Layer: -1 });

    private bool TrainsOwnHead => question.Layout.Entries.Any(entry => entry.Role == TensorRole.Weight && entry.Layer == _spec.LayerCount && entry.Shape.Length > 1);

    // A head that is the embedding has its first share from the loss and is handed on last.
    private bool TrainsTiedHead => TrainsEmbedding
        && (question.TrainsAllWeights ? _spec.TiedHead : question.Layout.Entries.Any(entry => entry is { Role: TensorRole.Weight, Layer: -1, Aliases.IsEmpty: false }));

    private Held Training(BatchSize batch)
    {
        var first = Math.Max(0, question.Layout.Entries.Select(entry => entry.Layer).DefaultIfEmpty(0).Min());
        var layers = Math.Max(0, _spec.LayerCount - first);
        var input = Held.Of(batch.Tokens * _spec.HiddenSize);
        var whole = _layer.Tape(batch.Tokens, batch.Tokens);
        var last = _layer.Tape(batch.Tokens, batch.PredictingTokens);
        // The last layer is never computed again; the others are where only their inputs are kept.
        var kept = (layers * input) + (question.GradientCheckpointing ? Held.Nothing : Math.Max(0, layers - 1) * whole);
        var recomputed = layers == 1 ? last : question.GradientCheckpointing ? whole : Held.Nothing;
        var waiting = TrainsTiedHead ? OfEmbedding : Held.Nothing;
        return Held.Most(
            kept + last + Loss(batch, derived: true),
            kept + recomputed + _layer.Backward(batch.Tokens, batch.LongestRow) + _layer.Gradients + waiting,
            waiting + (TrainsEmbedding ? OfEmbedding : Held.Nothing) + (2 * input));
    }

    private Held Evaluating(BatchSize? batch) => batch is null
        ? Held.Nothing
        : Held.Most(_layer.Forward(batch.Tokens, batch.LongestRow), Loss(batch, derived: false) + Held.Of(batch.Tokens * _spec.HiddenSize));

    private Held Generating(GenerationSize? size)
    {
        if (size is null)
        {
            return Held.Nothing;
        }

        var positions = (size.LongestRow + CacheBlock - 1) / CacheBlock * CacheBlock;
        var cache = Held.Of(positions * _spec.KeyValueHeadCount * _spec.HeadDimension, 2L * _spec.LayerCount * size.Sequences);
        var logits = Held.Of(size.Sequences * _spec.VocabularySize, 2);
        return cache + Held.Most(_layer.Forward(size.PromptTokens, size.LongestPrompt), WidenedHead + logits);
    }

    // Logits of a chunk (twice where they are capped), the last layer's output, normed, and their gradients; of a trained head its gradient
    // by this chunk, and the sum of those before.
    private Held Loss(BatchSize batch, bool derived)
    {
        long vocabulary = _spec.VocabularySize;
        var rows = Math.Max(1, Math.Min(batch.PredictingTokens, ChunkLogits / vocabulary));
        var logits = Held.Of(rows * vocabulary, _spec.LogitSoftCap is null ? 1 : 2) + Held.Of(Math.Min(WideRows, 2 * rows * vocabulary));
        var head = derived && (TrainsOwnHead || TrainsTiedHead) ? (batch.PredictingTokens > rows ? 2 : 1) * OfEmbedding : Held.Nothing;
        return logits + WidenedHead + head + Held.Of(batch.PredictingTokens * _spec.HiddenSize, 4);
    }
}
