// Shapes: T rows, D width, H query heads, K key/value heads, d head width.
using DistTune.Core.Models;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Gradients;

/// <content>What families with more norms than two a layer need.</content>
internal sealed partial class Operations
{
    /// <summary>Norms each query and key head of fused q, k, v; values stay.</summary>
    /// <param name="fused">[T, (H + 2 K) d].</param>
    /// <param name="query">Gain of the query heads [d].</param>
    /// <param name="key">Gain of the key heads [d].</param>
    /// <param name="shape">The heads.</param>
    /// <param name="norm">The norm.</param>
    /// <returns>[T, (H + 2 K) d].</returns>
    public Node NormHeads(Node fused, Gain query, Gain key, AttentionShape shape, NormSpec norm)
    {
        using var scope = torch.NewDisposeScope();
        var y = torch.empty(fused.Value.shape, dtype: fused.Value.dtype, device: fused.Value.device);
        var (queries, keys, values) = FusedHeads.Split(fused.Value, shape);
        var into = FusedHeads.Split(y, shape);
        var (normedQueries, queryReciprocal) = kernels.RmsNorm(queries, query.Value, norm);
        var (normedKeys, keyReciprocal) = kernels.RmsNorm(keys, key.Value, norm);
        into.Queries.copy_(normedQueries);
        into.Keys.copy_(normedKeys);
        into.Values.copy_(values);
        var output = new Node(y.MoveToOuterDisposeScope(), Records(fused.NeedsGradient || query.Entry is not null || key.Entry is not null));
        if (!output.NeedsGradient)
        {
            return output;
        }

        queryReciprocal.MoveToOuterDisposeScope();
        keyReciprocal.MoveToOuterDisposeScope();
        tape!.Record(
            output,
            gradient =>
            {
                using var scope = torch.NewDisposeScope();
                var parts = FusedHeads.Split(gradient, shape);
                var (queries, keys, _) = FusedHeads.Split(fused.Value, shape);
                NormHeadsBackward(parts.Queries, queries, query, queryReciprocal, fused.NeedsGradient, norm);
                NormHeadsBackward(parts.Keys, keys, key, keyReciprocal, fused.NeedsGradient, norm);
                if (fused.NeedsGradient)
                {
                    fused.AddGradient(gradient);
                }
                else
                {
                    gradient.Dispose();
                }
            },
            fused.Hold(),
            queryReciprocal,
            keyReciprocal);
        return output;
    }

    /// <summary>a + b.</summary>
    /// <param name="a">[T, D].</param>
    /// <param name="b">[T, D].</param>
    /// <param name="readsOutput">False where only the derivative is of interest: the sum is left out and the value is empty.</param>
    public Node Add(Node a, Node b, bool readsOutput = true)
    {
        var y = readsOutput ? a.Value.add(b.Value) : torch.empty([0L], device: a.Value.device);
        var output = new Node(y, Records(a.NeedsGradient || b.NeedsGradient));
        if (output.NeedsGradient)
        {
            tape!.Record(
                output,
                gradient =>
                {
                    if (a.NeedsGradient && b.NeedsGradient)
                    {
                        // Each owns its gradient and may change it.
                        a.AddGradient(gradient.clone());
                    }

                    (b.NeedsGradient ? b : a).AddGradient(gradient);
                });
        }

        return output;
    }

    // Overwrites the gradient of the normed heads, a view, with that of the heads.
    private void NormHeadsBackward(Tensor gradient, Tensor heads, Gain gain, Tensor reciprocal, bool inputGradient, NormSpec norm)
    {
        var (headGradient, gainGradient) = kernels.RmsNormBackward(gradient, heads, gain.Value, reciprocal, norm, inputGradient, gain.Entry is not null);
        if (headGradient is not null)
        {
            gradient.copy_(headGradient);
        }

        if (gainGradient is not null)
        {
            gradients.Add(gain.Entry!.Value, gainGradient);
        }
    }
}
