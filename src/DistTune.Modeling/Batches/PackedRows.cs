// Shapes: T rows (tokens of all segments), R rows that predict a trained token.
using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Models;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Batches;

/// <summary>Segments one after another, without padding, as the decoder reads them.</summary>
internal sealed class PackedRows : IDisposable
{
    private PackedRows(Tensor ids, Tensor cosine, Tensor sine, ImmutableArray<AttentionSpan> spans)
    {
        Ids = ids;
        Cosine = cosine;
        Sine = sine;
        Spans = spans;
    }

    /// <summary>Token ids [T], int64.</summary>
    public Tensor Ids { get; }

    /// <summary>Cosines of the rows' rotary angles [T, 1, pairs].</summary>
    public Tensor Cosine { get; }

    /// <summary>Sines of the rows' rotary angles [T, 1, pairs].</summary>
    public Tensor Sine { get; }

    /// <summary>The segments.</summary>
    public ImmutableArray<AttentionSpan> Spans { get; }

    /// <summary>Packs whole segments; positions restart at 0 in each.</summary>
    public static PackedRows OfSegments(IReadOnlyList<Segment> segments, DecoderSpec spec, RotaryTable rotary, Device device)
    {
        var sequences = segments.Select(segment => (segment.TokenIds, Position: 0));
        return OfSequences([.. sequences], spec, rotary, device);
    }

    /// <summary>Packs runs of tokens that each begin at a position of their own.</summary>
    /// <exception cref="DistTuneException">A token id is not in the vocabulary, or a sequence is longer than the base can place.</exception>
    public static PackedRows OfSequences(
        IReadOnlyList<(ImmutableArray<int> TokenIds, int Position)> sequences,
        DecoderSpec spec,
        RotaryTable rotary,
        Device device)
    {
        var count = sequences.Sum(sequence => sequence.TokenIds.Length);
        var ids = new long[count];
        var positions = new int[count];
        var spans = ImmutableArray.CreateBuilder<AttentionSpan>(sequences.Count);
        var row = 0;
        for (var index = 0; index < sequences.Count; index++)
        {
            var (tokens, position) = sequences[index];
            Check(tokens, position, index, spec);
            spans.Add(new AttentionSpan(row, tokens.Length, row, tokens.Length));
            for (var offset = 0; offset < tokens.Length; offset++, row++)
            {
                ids[row] = tokens[offset];
                positions[row] = position + offset;
            }
        }

        var (cosine, sine) = rotary.Rows(positions);
        long[] shape = [count, 1, rotary.Pairs];
        return new PackedRows(
            HostMemory.Upload<long>(ids, [count], ScalarType.Int64, device),
            HostMemory.Upload<float>(cosine, shape, ScalarType.Float32, device),
            HostMemory.Upload<float>(sine, shape, ScalarType.Float32, device),
            spans.MoveToImmutable());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Ids.Dispose();
        Cosine.Dispose();
        Sine.Dispose();
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
}
