using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Gradients;

/// <summary>Views of the heads in a row of fused q, k, v.</summary>
internal static class FusedHeads
{
    /// <summary>From [T, (H + 2 K) d] to views [T, H, d], [T, K, d] and [T, K, d]; the caller frees them.</summary>
    public static (Tensor Queries, Tensor Keys, Tensor Values) Split(Tensor fused, AttentionShape shape)
    {
        using var scope = torch.NewDisposeScope();
        var heads = fused.view(fused.shape[0], shape.Heads + (2 * shape.KeyValueHeads), shape.HeadDimension);
        return (
            heads.narrow(1, 0, shape.Heads).MoveToOuterDisposeScope(),
            heads.narrow(1, shape.Heads, shape.KeyValueHeads).MoveToOuterDisposeScope(),
            heads.narrow(1, shape.Heads + shape.KeyValueHeads, shape.KeyValueHeads).MoveToOuterDisposeScope());
    }
}
