// Shapes: T rows (tokens of all segments), R rows that predict a trained token.
using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Models;
using DistTune.Core.Training;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Batches;

/// <summary>Segments one after another, without padding, as the decoder reads them.</summary>
internal sealed class PackedRows : IDisposable
{
    private readonly RotaryRows _rotary;
    private readonly RotaryRows _localRotary;

    private PackedRows(Tensor ids, RotaryRows rotary, RotaryRows localRotary, ImmutableArray<AttentionSpan> spans)
    {
        Ids = ids;
        _rotary = rotary;
        _localRotary = localRotary;
        Spans = spans;
    }

    /// <summary>Token ids [T], int64.</summary>
    public Tensor Ids { get; }

    /// <summary>The segments.</summary>
    public ImmutableArray<AttentionSpan> Spans { get; }

    /// <summary>The rotary angles of the rows in layers with a window, or in those without.</summary>
    public RotaryRows Rotary(bool isLocal) => isLocal ? _localRotary : _rotary;

    /// <summary>
    /// Packs whole segments; positions restart at 0 in each. Rotary kinds that depend on the length go by the longest of them, so that
    /// what is computed together, which the plan fixes, decides.
    /// </summary>
    public static PackedRows OfSegments(IReadOnlyList<Segment> segments, BaseModel model)
    {
        var longest = segments.Max(segment => segment.TokenIds.Length);
        return Pack([.. segments.Select(segment => new Run(segment.TokenIds, 0, longest))], model);
    }

    /// <summary>
    /// Packs runs of tokens that each begin at a position of their own. Each belongs to a sequence that others don't touch, so rotary
    /// kinds that depend on the length go by each one's own.
    /// </summary>
    /// <exception cref="DistTuneException">A token id is not in the vocabulary, or a sequence is longer than the base can place.</exception>
    public static PackedRows OfSequences(IReadOnlyList<(ImmutableArray<int> TokenIds, int Position)> sequences, BaseModel model) =>
        Pack([.. sequences.Select(sequence => new Run(sequence.TokenIds, sequence.Position, sequence.Position + sequence.TokenIds.Length))], model);

    /// <inheritdoc/>
    public void Dispose()
    {
        Ids.Dispose();
        _rotary.Dispose();
        if (!ReferenceEquals(_localRotary, _rotary))
        {
            _localRotary.Dispose();
        }
    }

    private static PackedRows Pack(Run[] runs, BaseModel model)
    {
        var count = runs.Sum(run => run.TokenIds.Length);
        var ids = new long[count];
        var places = new RowPlace[count];
        var spans = ImmutableArray.CreateBuilder<AttentionSpan>(runs.Length);
        var row = 0;
        for (var index = 0; index < runs.Length; index++)
        {
            var (tokens, position, length) = runs[index];
            Check(tokens, position, index, model.Spec);
            spans.Add(new AttentionSpan(row, tokens.Length, row, tokens.Length));
            for (var offset = 0; offset < tokens.Length; offset++, row++)
            {
                ids[row] = tokens[offset];
                places[row] = new RowPlace(position + offset, length);
            }
        }

        var rotary = RotaryRows.Create(model.Rotary, places, model);
        var local = model.LocalRotary == model.Rotary ? rotary : RotaryRows.Create(model.LocalRotary, places, model);
        return new PackedRows(HostMemory.Upload<long>(ids, [count], ScalarType.Int64, model.Device), rotary, local, spans.MoveToImmutable());
    }

    private static void Check(ImmutableArray<int> tokens, int position, int sequence, DecoderSpec spec)
    {
        if (tokens.IsEmpty)
        {
            throw new DistTuneException(FaultKind.Failed, $"Sequence {sequence} has no tokens; at least one is needed. Leave empty samples out of the data.");
        }

        if (position + tokens.Length > spec.MaxPositions)
        {
            throw new DistTuneException(FaultKind.Configuration, $"Sequence {sequence} ends at position {position + tokens.Length}; the base has {spec.MaxPositions} positions. Shorten max_length or the sample.");
        }

        foreach (var token in tokens)
        {
            if ((uint)token >= (uint)spec.VocabularySize)
            {
                throw new DistTuneException(FaultKind.Configuration, $"Sequence {sequence} holds token {token}; the base's vocabulary has ids 0 to {spec.VocabularySize - 1}. Use the tokenizer that belongs to the base.");
            }
        }
    }

    /// <summary>Consecutive tokens of a sequence, and how long the longest sequence is that counts for their angles.</summary>
    private readonly record struct Run(ImmutableArray<int> TokenIds, int Position, int Length);
}
