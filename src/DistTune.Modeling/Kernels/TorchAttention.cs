// Shapes: n query rows of a block, m keys they can see, H query heads, K key/value heads, G = H / K, d head width.
namespace DistTune.Modeling.Kernels;

/// <summary>
/// Causal attention in blocks of query rows, plain torch. A block only computes the keys it can see, and the derivative recomputes
/// its probabilities, so that memory grows with T and half of the square is never touched. Query heads that share a key head are
/// stacked into one product, so keys are not repeated.
/// </summary>
internal static class TorchAttention
{
    private const int BlockRows = 256;

    /// <summary>See <see cref="IKernels.Attention"/>.</summary>
    public static Tensor Forward(Tensor queries, Tensor keys, Tensor values, AttentionShape shape, ReadOnlySpan<AttentionSpan> spans)
    {
        using var scope = torch.NewDisposeScope();
        var rows = queries.shape[0];
        var output = torch.empty([rows, shape.Heads * shape.HeadDimension], dtype: queries.dtype, device: queries.device);
        var heads = output.view(rows, shape.Heads, shape.HeadDimension);
        foreach (var span in spans)
        {
            for (var start = 0; start < span.QueryCount; start += BlockRows)
            {
                using var blockScope = torch.NewDisposeScope();
                var block = new Block(span, start, shape.Window);
                var (probabilities, _, _) = Probabilities(block, queries, keys, shape);
                var result = probabilities.bmm(block.Visible(values));
                block.Rows(heads).copy_(Unstack(result, shape));
            }
        }

        return output.MoveToOuterDisposeScope();
    }

    /// <summary>See <see cref="IKernels.AttentionBackward"/>.</summary>
    public static void Backward(
        Tensor gradient,
        Tensor queries,
        Tensor keys,
        Tensor values,
        AttentionShape shape,
        ReadOnlySpan<AttentionSpan> spans,
        (Tensor Queries, Tensor Keys, Tensor Values) into)
    {
        using var scope = torch.NewDisposeScope();
        var heads = gradient.view(gradient.shape[0], shape.Heads, shape.HeadDimension);
        foreach (var span in spans)
        {
            for (var start = 0; start < span.QueryCount; start += BlockRows)
            {
                using var blockScope = torch.NewDisposeScope();
                var block = new Block(span, start, shape.Window);
                var (probabilities, scaledQueries, capped) = Probabilities(block, queries, keys, shape);
                var output = Stack(block.Rows(heads), shape);
                block.Visible(into.Values).add_(probabilities.transpose(1, 2).bmm(output));

                var scores = output.bmm(block.Visible(values).transpose(1, 2));
                var weighted = scores.mul(probabilities).sum(-1, keepdim: true);
                scores.sub_(weighted).mul_(probabilities);
                if (capped is not null)
                {
                    SoftCap.Backward(scores, capped);
                }

                block.Visible(into.Keys).add_(scores.transpose(1, 2).bmm(scaledQueries));
                var queryGradient = scores.bmm(block.Visible(keys)).mul_(shape.Scale);
                block.Rows(into.Queries).add_(Unstack(queryGradient, shape));
            }
        }
    }

    /// <summary>Probabilities of a block, what they are made of, and tanh(score / cap) of every score if scores are capped.</summary>
    private static (Tensor Probabilities, Tensor ScaledQueries, Tensor? Capped) Probabilities(Block block, Tensor queries, Tensor keys, AttentionShape shape)
    {
        var scaledQueries = Stack(block.Rows(queries), shape).mul_(shape.Scale);
        var scores = scaledQueries.bmm(block.Visible(keys).transpose(1, 2));
        Tensor? capped = null;
        if (shape.SoftCap is { } cap)
        {
            (scores, capped) = SoftCap.Forward(scores, cap);
        }

        Hide(scores.view(shape.KeyValueHeads, shape.GroupSize, block.Count, block.VisibleCount), block);
        return (Precision.IsWide(scores) ? scores.softmax(-1) : scores.softmax(-1, ScalarType.Float32).to(queries.dtype), scaledQueries, capped);
    }

    private static void Hide(Tensor scores, Block block)
    {
        if (block.Count > 1)
        {
            // Only the last Count columns hold keys that some query of the block may not see yet.
            var future = torch.ones([block.Count, block.Count], dtype: ScalarType.Bool, device: scores.device).triu(1);
            scores.narrow(3, block.VisibleCount - block.Count, block.Count).masked_fill_(future, float.NegativeInfinity);
        }

        if (block.LastHiddenOfFirst is { } column && column + block.Count > 0)
        {
            var past = torch.ones([block.Count, block.VisibleCount], dtype: ScalarType.Bool, device: scores.device).tril(column);
            scores.masked_fill_(past, float.NegativeInfinity);
        }
    }

    // [n, H, d] to a new [K, G n, d].
    private static Tensor Stack(Tensor heads, AttentionShape shape)
    {
        var rows = heads.shape[0];
        var stacked = torch.empty([shape.KeyValueHeads, shape.GroupSize, rows, shape.HeadDimension], dtype: heads.dtype, device: heads.device);
        stacked.copy_(heads.view(rows, shape.KeyValueHeads, shape.GroupSize, shape.HeadDimension).permute(1, 2, 0, 3));
        return stacked.view(shape.KeyValueHeads, shape.GroupSize * rows, shape.HeadDimension);
    }

    // [K, G n, d] to a view [n, H, d] of it, or a copy where no view can be.
    private static Tensor Unstack(Tensor stacked, AttentionShape shape)
    {
        var rows = stacked.shape[1] / shape.GroupSize;
        return stacked.view(shape.KeyValueHeads, shape.GroupSize, rows, shape.HeadDimension).permute(2, 0, 1, 3).reshape(rows, shape.Heads, shape.HeadDimension);
    }

    /// <summary>Some query rows of a span, and the keys from the first to the last one that any of them sees.</summary>
    private readonly record struct Block(AttentionSpan Span, int Start, int? Window)
    {
        public int Count => Math.Min(BlockRows, Span.QueryCount - Start);

        public int VisibleCount => FirstQuery + Count - FirstKey;

        /// <summary>The last column that the window hides from the first query, each further query having one more; below 0 for none.</summary>
        public int? LastHiddenOfFirst => FirstQuery - Window - FirstKey;

        // Positions within the span's keys.
        private int FirstQuery => Span.KeyCount - Span.QueryCount + Start;

        private int FirstKey => Window is { } width ? Math.Max(0, FirstQuery - width + 1) : 0;

        public Tensor Rows(Tensor heads) => heads.narrow(0, Span.QueryStart + Start, Count);

        // [m, K, d] seen as [K, m, d].
        public Tensor Visible(Tensor keysOrValues) => keysOrValues.narrow(0, Span.KeyStart + FirstKey, VisibleCount).transpose(0, 1);
    }
}
