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
    public static PackedRows OfSegments(IReadOnlyList<Segment> segments, BaseModel model)
    {
        var sequences = segments.Select(segment => (segment.TokenIds, Position: 0));
        return OfSequences([.. sequences], model);
    }

    /// <summary>Packs runs of tokens that each begin at a position of their own.</summary>
    /// <exception cref="DistTuneException">A token id is not in the vocabulary, or a sequence is longer than the base can place.</exception>
    public static PackedRows OfSequences(IReadOnlyList<(ImmutableArray<int> TokenIds, int Position)> sequences, BaseModel model)
    {
        var count = sequences.Sum(sequence => sequence.TokenIds.Length);
        var ids = new long[count];
        var positions = new int[count];
        var spans = ImmutableArray.CreateBuilder<AttentionSpan>(sequences.Count);
        var row = 0;
        for (var index = 0; index < sequences.Count; index++)
        {
            var (tokens, position) = sequences[index];
            Check(tokens, position, index, model.Spec);
            spans.Add(new AttentionSpan(row, tokens.Length, row, tokens.Length));
            for (var offset = 0; offset < tokens.Length; offset++, row++)
            {
                ids[row] = tokens[offset];
                positions[row] = position + offset;
            }
        }

        var (cosine, sine) = Angles(positions, model);
        return new PackedRows(HostMemory.Upload<long>(ids, [count], ScalarType.Int64, model.Device), cosine, sine, spans.MoveToImmutable());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Ids.Dispose();
        Cosine.Dispose();
        Sine.Dispose();
    }

    private static (Tensor Cosine, Tensor Sine) Angles(int[] positions, BaseModel model)
    {
        long[] shape = [positions.Length, 1, model.Rotary.Pairs];
        if (model.ComputeType == ScalarType.Float64)
        {
            var exact = model.Rotary.ExactRows(positions);
            return (Upload<double>(exact.Cosine, ScalarType.Float64), Upload<double>(exact.Sine, ScalarType.Float64));
        }

        var rounded = model.Rotary.Rows(positions);
        return (Upload<float>(rounded.Cosine, ScalarType.Float32), Upload<float>(rounded.Sine, ScalarType.Float32));

        Tensor Upload<T>(T[] values, ScalarType type)
            where T : unmanaged => HostMemory.Upload<T>(values, shape, type, model.Device);
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
