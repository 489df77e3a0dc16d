// Shapes: T rows.
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using DistTune.Core.Training;

namespace DistTune.Modeling.Kernels;

/// <summary>Where a row stands in the data: what its dropout is drawn by.</summary>
/// <param name="Sample">Index of the sample in the data set.</param>
/// <param name="Position">Position of the token in the sample.</param>
internal readonly record struct RowOrigin(long Sample, int Position);

/// <summary>
/// Drops inputs of LoRA's A. Whether an element is dropped is a function of (seed, step, sample, module, element) alone, so that a
/// recomputation, another worker and another composition of micro-batches drop the same ones.
/// </summary>
internal sealed class LoraDropout
{
    private const int ElementsPerBlock = 4;

    private readonly ulong _seed;
    private readonly int _step;
    private readonly uint _threshold;
    private readonly float _kept;
    private readonly ImmutableArray<RowOrigin> _all;
    private readonly ImmutableArray<RowOrigin> _predicting;

    private LoraDropout(double share, ulong seed, int step, ImmutableArray<RowOrigin> all, ImmutableArray<RowOrigin> predicting)
        : this(seed, step, (uint)Math.Round(share * 4294967296.0), (float)(1 / (1 - share)), all, predicting)
    {
    }

    private LoraDropout(ulong seed, int step, uint threshold, float kept, ImmutableArray<RowOrigin> all, ImmutableArray<RowOrigin> predicting)
    {
        _seed = seed;
        _step = step;
        _threshold = threshold;
        _kept = kept;
        _all = all;
        _predicting = predicting;
    }

    /// <summary>Dropout of one micro-batch.</summary>
    /// <param name="segments">Its segments.</param>
    /// <param name="share">Share that is dropped, above 0 and below 1; the rest is scaled up by 1 / (1 - share).</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="step">The optimizer step.</param>
    public static LoraDropout OfSegments(IReadOnlyList<Segment> segments, double share, ulong seed, int step)
    {
        var all = segments.SelectMany(segment => Enumerable.Range(0, segment.TokenIds.Length).Select(position => new RowOrigin(segment.Sample, position)));
        // The row before a trained token predicts it; the last layers compute only these.
        var predicting = segments.SelectMany(segment => segment.Labels.SelectMany(span =>
        {
            var first = Math.Max(1, span.Start);
            return Enumerable.Range(first, Math.Max(0, span.End - first)).Select(position => new RowOrigin(segment.Sample, position - 1));
        }));
        return new LoraDropout(share, seed, step, [.. all], [.. predicting]);
    }

    /// <summary>The dropout of some of the predicting rows.</summary>
    public LoraDropout Predicting(long first, long count)
    {
        var rows = _predicting.Slice(checked((int)first), checked((int)count));
        return new LoraDropout(_seed, _step, _threshold, _kept, rows, rows);
    }

    /// <summary>x [T, in] with dropped elements zero and the others scaled up; new.</summary>
    /// <param name="x">All rows, or the predicting ones; they are told apart by their number, and with equal numbers they are the same.</param>
    /// <param name="module">The module's stream.</param>
    public Tensor Apply(Tensor x, ulong module)
    {
        using var scope = torch.NewDisposeScope();
        var rows = x.shape[0] == _all.Length ? _all : _predicting;
        // Written where it is read: a managed array of this size would wait for the collector.
        var mask = torch.empty(x.shape, dtype: ScalarType.Float32, device: torch.CPU);
        Fill(MemoryMarshal.Cast<byte, float>(mask.bytes), rows, checked((int)x.shape[1]), module);
        return mask.to(x.device).to(x.dtype).mul_(x).MoveToOuterDisposeScope();
    }

    private void Fill(Span<float> mask, ImmutableArray<RowOrigin> rows, int width, ulong module)
    {
        var perStep = CounterRandom.Hash(_seed, module, (ulong)_step);
        var blocks = (ulong)(width + ElementsPerBlock - 1) / ElementsPerBlock;
        for (var index = 0; index < rows.Length; index++)
        {
            var stream = CounterRandom.Hash(perStep, module, (ulong)rows[index].Sample);
            Fill(mask.Slice(checked(index * width), width), stream, (ulong)rows[index].Position * blocks);
        }
    }

    private void Fill(Span<float> row, ulong stream, ulong counter)
    {
        for (var start = 0; start < row.Length; start += ElementsPerBlock, counter++)
        {
            var (a, b, c, d) = CounterRandom.Block(_seed, stream, counter);
            ReadOnlySpan<uint> draws = [a, b, c, d];
            for (var i = 0; i < ElementsPerBlock && start + i < row.Length; i++)
            {
                row[start + i] = draws[i] < _threshold ? 0 : _kept;
            }
        }
    }
}
