// Shapes: B rows, T positions, padded on the right.
using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Goldens;

/// <summary>A padded batch of a golden file, and the segments it comes down to.</summary>
internal sealed class PaddedBatch
{
    private const long Ignored = -100;

    private PaddedBatch(ImmutableArray<Segment> segments, int width, long validTokens)
    {
        Segments = segments;
        Width = width;
        ValidTokens = validTokens;
    }

    /// <summary>The rows without their padding.</summary>
    public ImmutableArray<Segment> Segments { get; }

    /// <summary>
    /// The rows for training, where some rotary kinds go by the longest row computed together: the reference counts padding, so where no
    /// row is as long as that, one without labels is added.
    /// </summary>
    public ImmutableArray<Segment> PaddedSegments => Segments.Any(segment => segment.TokenIds.Length == Width)
        ? Segments
        : Segments.Add(new Segment([.. Enumerable.Repeat(0, Width)], [], Segments.Length));

    /// <summary>T.</summary>
    public int Width { get; }

    /// <summary>Trained tokens.</summary>
    public long ValidTokens { get; }

    /// <summary>
    /// Reads <c>input_ids</c>, <c>attention_mask</c> and <c>labels</c>, whose names begin with <paramref name="prefix"/> and end with
    /// <paramref name="suffix"/>.
    /// </summary>
    public static PaddedBatch Read(TensorFile file, string prefix = "", string suffix = "")
    {
        var shape = file.Shape($"{prefix}input_ids{suffix}");
        var ids = file.Integers($"{prefix}input_ids{suffix}");
        var mask = file.Has($"{prefix}attention_mask{suffix}") ? file.Integers($"{prefix}attention_mask{suffix}") : Enumerable.Repeat(1L, ids.Length).ToArray();
        var labels = file.Has($"{prefix}labels{suffix}") ? file.Integers($"{prefix}labels{suffix}") : Enumerable.Repeat(Ignored, ids.Length).ToArray();
        var width = checked((int)shape[1]);
        var segments = ImmutableArray.CreateBuilder<Segment>();
        for (var row = 0; row < shape[0]; row++)
        {
            var range = new Range(row * width, (row + 1) * width);
            segments.Add(ReadRow(ids.AsSpan()[range], mask.AsSpan()[range], labels.AsSpan()[range], row));
        }

        return new PaddedBatch(segments.ToImmutable(), width, segments.Sum(segment => (long)segment.TrainedTokens));
    }

    /// <summary>Of values [B, T, n], those at positions that are not padding, as the segments' rows follow one another.</summary>
    public float[] Unpad(ReadOnlySpan<float> padded)
    {
        var size = padded.Length / (Segments.Length * Width);
        var values = new List<float>(padded.Length);
        for (var row = 0; row < Segments.Length; row++)
        {
            values.AddRange(padded.Slice(row * Width * size, Segments[row].TokenIds.Length * size));
        }

        return [.. values];
    }

    private static Segment ReadRow(ReadOnlySpan<long> ids, ReadOnlySpan<long> mask, ReadOnlySpan<long> labels, int row)
    {
        var length = mask.IndexOf(0) is var end and >= 0 ? end : mask.Length;
        if (mask[length..].IndexOfAnyExcept(0) >= 0)
        {
            throw new GoldenUnsupportedException("attention_mask has a hole; rows are padded on the right only");
        }

        if (labels[length..].IndexOfAnyExcept(Ignored) >= 0)
        {
            throw new GoldenUnsupportedException("labels on padding");
        }

        var tokens = ImmutableArray.CreateBuilder<int>(length);
        var spans = ImmutableArray.CreateBuilder<LabelSpan>();
        var start = -1;
        for (var position = 0; position < length; position++)
        {
            tokens.Add(checked((int)ids[position]));
            var trained = labels[position] != Ignored;
            if (trained && position > 0 && labels[position] != ids[position])
            {
                throw new GoldenUnsupportedException("labels that differ from the tokens at their positions");
            }

            if (trained && start < 0)
            {
                start = position;
            }
            else if (!trained && start >= 0)
            {
                spans.Add(new LabelSpan(start, position));
                start = -1;
            }
        }

        if (start >= 0)
        {
            spans.Add(new LabelSpan(start, length));
        }

        return new Segment(tokens.ToImmutable(), spans.ToImmutable(), row);
    }
}
