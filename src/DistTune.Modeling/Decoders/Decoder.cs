// Shapes: T rows, D width, S selected rows.
using DistTune.Core.Models;
using DistTune.Modeling.Batches;
using DistTune.Modeling.Gradients;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Decoders;

/// <summary>Mixes rows within their sequences; what differs between whole segments and cached ones.</summary>
/// <param name="operations">The arithmetic.</param>
/// <param name="fused">Rotated q, k, v of the rows [T, (H + 2 K) d].</param>
/// <param name="layer">The layer.</param>
/// <returns>[T, H d].</returns>
internal delegate Node Mixer(Operations operations, Node fused, int layer);

/// <summary>
/// The decoder all families share: pre-norm attention with rotary positions and grouped heads, and a gated feed-forward block. What
/// a family varies is data (<see cref="DecoderSpec"/>), which weights it has is in the modules.
/// </summary>
internal sealed class Decoder(DecoderSpec spec, DecoderModules modules, ScalarType computeType)
{
    /// <summary>The heads of every layer.</summary>
    public AttentionShape Shape { get; } = new(spec.HeadCount, spec.KeyValueHeadCount, spec.HeadDimension);

    /// <summary>The modules it computes with.</summary>
    public DecoderModules Modules => modules;

    /// <summary>What the base is.</summary>
    public DecoderSpec Spec => spec;

    /// <summary>The first layer's input [T, D].</summary>
    public Tensor Embed(PackedRows rows)
    {
        using var scope = torch.NewDisposeScope();
        return modules.Embedding.index_select(0, rows.Ids).to(computeType).MoveToOuterDisposeScope();
    }

    /// <summary>Attention among the rows of each segment.</summary>
    public Mixer WithinSegments(PackedRows rows) => (operations, fused, _) => operations.Attention(fused, rows, Shape);

    /// <summary>One layer.</summary>
    /// <param name="operations">The arithmetic, recording or not.</param>
    /// <param name="layer">Which layer.</param>
    /// <param name="x">Its input [T, D].</param>
    /// <param name="rows">The rows.</param>
    /// <param name="mix">How rows attend.</param>
    /// <param name="select">Rows whose output is wanted (int64, ascending), or null for all; after the attention nothing else is computed.</param>
    /// <param name="readsOutput">False in a recomputation: what only the output needs is left out.</param>
    /// <returns>[T, D], or [S, D].</returns>
    public Node Layer(Operations operations, int layer, Node x, PackedRows rows, Mixer mix, Tensor? select = null, bool readsOutput = true)
    {
        using var attended = Attend(operations, layer, x, rows, mix, select);
        return FeedForward(operations, modules.Layers[layer], attended, readsOutput);
    }

    /// <summary>The last norm.</summary>
    public Node FinalNorm(Operations operations, Node x) => operations.RmsNorm(x, modules.FinalNorm, spec.Norm.Epsilon);

    private Node Attend(Operations operations, int layer, Node x, PackedRows rows, Mixer mix, Tensor? select)
    {
        var parts = modules.Layers[layer];
        using var fused = Project(operations, parts, x);
        operations.Rotate(fused, rows, Shape);
        using var mixed = mix(operations, fused, layer);
        if (select is null)
        {
            return operations.Linear(mixed, parts.AttentionOutput, x);
        }

        using var selected = operations.Select(mixed, select);
        using var residual = operations.Select(x, select);
        return operations.Linear(selected, parts.AttentionOutput, residual);
    }

    private Node Project(Operations operations, LayerModules parts, Node x)
    {
        using var normed = operations.RmsNorm(x, parts.AttentionNorm, spec.Norm.Epsilon);
        return operations.Linear(normed, parts.QueryKeyValue);
    }

    private Node FeedForward(Operations operations, LayerModules parts, Node x, bool readsOutput)
    {
        using var activated = Activate(operations, parts, x);
        return operations.Linear(activated, parts.Down, x, readsOutput);
    }

    private Node Activate(Operations operations, LayerModules parts, Node x)
    {
        using var normed = operations.RmsNorm(x, parts.FeedForwardNorm, spec.Norm.Epsilon);
        using var gateUp = operations.Linear(normed, parts.GateUp);
        return operations.GatedActivation(gateUp, spec.Activation);
    }
}
