// Shapes: T rows, D width, V vocabulary, R rank.
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Decoders;

/// <summary>The embedding of tokens, with the adapters on it.</summary>
internal static class EmbeddingRows
{
    /// <summary>E[ids] plus the adapters' share [T, D]; new, in the current dispose scope.</summary>
    public static Tensor Of(DecoderModules modules, Tensor ids, ScalarType type)
    {
        var rows = modules.Embedding.index_select(0, ids).to(type);
        foreach (var lora in modules.EmbeddingLora)
        {
            var low = lora.A.index_select(1, ids).t();
            rows.add_(low.mm(lora.B.t()).to(type), lora.Scale);
            if (lora.Dora is { } dora)
            {
                rows.mul_(Precision.Alike(dora.Factors, rows));
            }
        }

        return rows;
    }

    /// <summary>The derivative of <see cref="Of"/>; gradients go to <paramref name="gradients"/>.</summary>
    /// <param name="modules">As in the forward pass.</param>
    /// <param name="ids">As in the forward pass.</param>
    /// <param name="gradient">[T, D].</param>
    /// <param name="scale">Factor that the rows were multiplied by afterwards.</param>
    /// <param name="gradients">Takes the gradients of trained tensors.</param>
    public static void Backward(DecoderModules modules, Tensor ids, Tensor gradient, double scale, IParameterGradients gradients)
    {
        using var scope = torch.NewDisposeScope();
        var wide = Precision.Wide(gradient);
        if (modules.EmbeddingEntry is { } entry)
        {
            var embedding = torch.zeros(modules.Embedding.shape, dtype: wide.dtype, device: wide.device);
            embedding.index_add_(0, ids, wide, scale);
            gradients.Add(entry, embedding);
        }

        foreach (var lora in modules.EmbeddingLora)
        {
            var low = Precision.Alike(lora.A.index_select(1, ids), wide);
            if (lora.Dora is { } dora)
            {
                // A dimension's length is a constant to the derivative, and one with DoRA has no other adapter.
                var unscaled = Unscaled(modules.Embedding, lora, low, ids, wide);
                gradients.Add(dora.Entry, wide.mul(unscaled).sum(dim: 0).div_(dora.Lengths).mul_(scale));
                wide = wide.mul(Precision.Alike(dora.Factors, wide));
            }

            gradients.Add(lora.EntryB, wide.t().mm(low.t()).mul_(lora.Scale * scale));
            var columns = torch.zeros([lora.A.shape[1], lora.A.shape[0]], dtype: wide.dtype, device: wide.device);
            columns.index_add_(0, ids, wide.mm(Precision.Alike(lora.B, wide)), lora.Scale * scale);
            gradients.Add(lora.EntryA, columns.t().contiguous());
        }
    }

    private static Tensor Unscaled(Tensor embedding, EmbeddingLora lora, Tensor low, Tensor ids, Tensor like) =>
        embedding.index_select(0, ids).to(like.dtype).add_(low.t().mm(Precision.Alike(lora.B, low).t()), lora.Scale);
}
