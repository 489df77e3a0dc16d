// Shapes: T rows, B sequences, D width, V vocabulary.
using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Modeling.Batches;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Gradients;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Generation;

/// <summary>Continues prompts with a key/value cache. The prompts of a batch advance together, one row each, so that a weight is read once for all.</summary>
internal sealed class Generator(BaseModel model, DecoderModules modules, GenerationSettings settings, IGradientSink sink, CancellationToken cancellationToken)
{
    private readonly Decoder _decoder = new(model.Spec, modules, model.ComputeType);
    private readonly Operations _operations = new(model.Kernels, NoGradients.Instance, tape: null);
    private readonly TokenSampler _sampler = new(settings);

    /// <summary>The new tokens of each prompt, in order. A continuation ends with a stop token, at the bound, or where positions end.</summary>
    public ImmutableArray<ImmutableArray<int>> Continue(IReadOnlyList<Segment> prompts)
    {
        var sequences = prompts.Select(prompt => new Sequence(prompt, NewCache())).ToArray();
        try
        {
            var open = sequences.Where(sequence => CanGrow(sequence, sequence.Pending.Length)).ToArray();
            while (open.Length > 0)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Advance(open);
                open = [.. open.Where(sequence => !IsFinished(sequence))];
                sink.Progress();
            }

            return [.. sequences.Select(sequence => sequence.NewTokens.ToImmutableArray())];
        }
        finally
        {
            foreach (var sequence in sequences)
            {
                sequence.Cache.Dispose();
            }
        }
    }

    private KeyValueCache NewCache() => new(model.Spec.LayerCount, _decoder.Shape, model.ComputeType, model.Device);

    private bool CanGrow(Sequence sequence, int length) =>
        length <= model.Spec.MaxPositions
            ? settings.MaxNewTokens > 0
            : throw new DistTuneException(FaultKind.Configuration, $"The prompt of sample {sequence.Sample} has {length} tokens; the base has {model.Spec.MaxPositions} positions. Shorten it.");

    private bool IsFinished(Sequence sequence) =>
        sequence.NewTokens.Count >= settings.MaxNewTokens
        || settings.StopTokens.Contains(sequence.NewTokens[^1])
        || sequence.Length >= model.Spec.MaxPositions;

    /// <summary>Computes the pending tokens of all sequences and appends one new token to each.</summary>
    private void Advance(Sequence[] sequences)
    {
        using var scope = torch.NewDisposeScope();
        foreach (var sequence in sequences)
        {
            RestartIfRotatedAnew(sequence);
        }

        using var rows = PackedRows.OfSequences([.. sequences.Select(sequence => (sequence.Pending, sequence.Length))], model);
        var lastRows = rows.Spans.Select(span => (long)span.QueryStart + span.QueryCount - 1).ToArray();
        using var select = HostMemory.Upload<long>(lastRows, [lastRows.Length], ScalarType.Int64, model.Device);
        var mix = WithCaches(sequences, rows);
        var x = new Node(_decoder.Embed(rows), needsGradient: false);
        for (var layer = 0; layer < model.Spec.LayerCount; layer++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            using var input = x;
            x = _decoder.Layer(_operations, layer, input, rows, mix, layer == model.Spec.LayerCount - 1 ? select : null);
        }

        using var last = x;
        using var normed = _decoder.FinalNorm(_operations, last);
        using var logits = _decoder.Logits(_operations, normed);
        HostMemory.Read(logits.Value, sequences, Choose);
    }

    // Where the next length has other rotary frequencies, the cached keys were rotated by the wrong ones: all are computed again.
    private void RestartIfRotatedAnew(Sequence sequence)
    {
        var next = sequence.Length + sequence.Pending.Length;
        if (sequence.Length > 0 && (IsNew(model.Rotary) || IsNew(model.LocalRotary)))
        {
            sequence.Restart();
        }

        bool IsNew(RotaryTable table) => table.Regime(sequence.Length) != table.Regime(next);
    }

    private void Choose(ReadOnlySpan<float> logits, Sequence[] sequences)
    {
        var vocabulary = model.Spec.VocabularySize;
        for (var index = 0; index < sequences.Length; index++)
        {
            var sequence = sequences[index];
            sequence.Length += sequence.Pending.Length;
            var token = _sampler.Next(logits.Slice(index * vocabulary, vocabulary), sequence.Sample, sequence.Length);
            sequence.NewTokens.Add(token);
            (sink as ITokenSink)?.Append(sequence.Sample, token);
            sequence.Pending = [token];
        }
    }

    /// <summary>Each sequence's rows attend to all its cached rows, their own included.</summary>
    private Mixer WithCaches(Sequence[] sequences, PackedRows rows) => (_, fused, layer) =>
    {
        using var scope = torch.NewDisposeScope();
        var shape = _decoder.Shape;
        var (queries, keys, values) = FusedHeads.Split(fused.Value, shape);
        var output = torch.empty([fused.Value.shape[0], shape.Heads * shape.HeadDimension], dtype: fused.Value.dtype, device: model.Device);
        for (var index = 0; index < sequences.Length; index++)
        {
            var span = rows.Spans[index];
            var cache = sequences[index].Cache;
            cache.Append(layer, keys.narrow(0, span.QueryStart, span.QueryCount), values.narrow(0, span.QueryStart, span.QueryCount));
            var (allKeys, allValues) = cache.Read(layer);
            var own = queries.narrow(0, span.QueryStart, span.QueryCount);
            var mixed = model.Kernels.Attention(own, allKeys, allValues, _decoder.ShapeOf(layer), [new AttentionSpan(0, span.QueryCount, 0, (int)allKeys.shape[0])]);
            output.narrow(0, span.QueryStart, span.QueryCount).copy_(mixed);
        }

        return new Node(output.MoveToOuterDisposeScope(), needsGradient: false);
    };

    /// <summary>A prompt and what has come of it.</summary>
    private sealed class Sequence(Segment prompt, KeyValueCache cache)
    {
        public KeyValueCache Cache { get; } = cache;

        public long Sample { get; } = prompt.Sample;

        public ImmutableArray<int> Pending { get; set; } = prompt.TokenIds;

        /// <summary>Tokens that are in the cache.</summary>
        public int Length { get; set; }

        public List<int> NewTokens { get; } = [];

        /// <summary>Empties the cache; everything is pending again.</summary>
        public void Restart()
        {
            Cache.Clear();
            Pending = [.. prompt.TokenIds, .. NewTokens];
            Length = 0;
        }
    }
}
