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
    /// <summary>The heads of every layer, and how they attend but for the window.</summary>
    public AttentionShape Shape { get; } = new(spec.HeadCount, spec.KeyValueHeadCount, spec.HeadDimension)
    {
        Scale = spec.AttentionScale ?? (1 / Math.Sqrt(spec.HeadDimension)),
        SoftCap = spec.AttentionSoftCap,
    };

    /// <summary>The modules it computes with.</summary>
    public DecoderModules Modules => modules;

    /// <summary>What the base is.</summary>
    public DecoderSpec Spec => spec;

    /// <summary>The first layer's input [T, D].</summary>
    public Tensor Embed(PackedRows rows)
    {
        using var scope = torch.NewDisposeScope();
        var embedded = EmbeddingRows.Of(modules, rows.Ids, computeType);
        if (spec.EmbeddingScale != 1)
        {
            // Rounded to the type of the product first, as in the reference implementation.
            embedded.mul_(torch.ones([1], dtype: computeType, device: embedded.device).mul_(spec.EmbeddingScale));
        }

        return embedded.MoveToOuterDisposeScope();
    }

    /// <summary>How a layer attends.</summary>
    public AttentionShape ShapeOf(int layer) => Shape with { Window = spec.WindowOf(layer) };

    /// <summary>Attention among the rows of each segment.</summary>
    public Mixer WithinSegments(PackedRows rows) => (operations, fused, layer) => operations.Attention(fused, rows, ShapeOf(layer));

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
    public Node FinalNorm(Operations operations, Node x) => operations.RmsNorm(x, modules.FinalNorm, spec.Norm);

    /// <summary>Logits of rows after the last norm, for passes that compute values only.</summary>
    public Node Logits(Operations operations, Node normed)
    {
        var logits = operations.Linear(normed, modules.Head);
        if (spec.LogitSoftCap is not { } cap)
        {
            return logits;
        }

        using (logits)
        using (torch.NewDisposeScope())
        {
            return new Node(SoftCap.Forward(logits.Value, cap).Y.MoveToOuterDisposeScope(), needsGradient: false);
        }
    }

    private Node Attend(Operations operations, int layer, Node x, PackedRows rows, Mixer mix, Tensor? select)
    {
        var parts = modules.Layers[layer];
        using var fused = Project(operations, parts, x);
        operations.Rotate(fused, rows.Rotary(isLocal: spec.WindowOf(layer) is not null), Shape);
        using var mixed = mix(operations, fused, layer);
        if (select is null)
        {
            return Join(operations, mixed, parts.AttentionOutput, parts.AttentionPostNorm, x, readsOutput: true);
        }

        using var selected = operations.Select(mixed, select);
        using var residual = operations.Select(x, select);
        return Join(operations, selected, parts.AttentionOutput, parts.AttentionPostNorm, residual, readsOutput: true);
    }

    private Node Project(Operations operations, LayerModules parts, Node x)
    {
        using var normed = operations.RmsNorm(x, parts.AttentionNorm, spec.Norm);
        var fused = operations.Linear(normed, parts.QueryKeyValue);
        if (parts is not { QueryNorm: { } query, KeyNorm: { } key })
        {
            return fused;
        }

        using (fused)
        {
            return operations.NormHeads(fused, query, key, Shape, spec.Norm);
        }
    }

    private Node FeedForward(Operations operations, LayerModules parts, Node x, bool readsOutput)
    {
        using var activated = Activate(operations, parts, x);
        return Join(operations, activated, parts.Down, parts.FeedForwardPostNorm, x, readsOutput);
    }

    private Node Activate(Operations operations, LayerModules parts, Node x)
    {
        using var normed = operations.RmsNorm(x, parts.FeedForwardNorm, spec.Norm);
        using var gateUp = operations.Linear(normed, parts.GateUp);
        return operations.GatedActivation(gateUp, spec.Activation);
    }

    /// <summary>The residual stream after a block: x plus what the block's last map makes of y, normed where the family norms it.</summary>
    private Node Join(Operations operations, Node y, Projection map, Gain? postNorm, Node x, bool readsOutput)
    {
        if (postNorm is null)
        {
            return operations.Linear(y, map, x, readsOutput);
        }

        using var mapped = operations.Linear(y, map);
        using var normed = operations.RmsNorm(mapped, postNorm, spec.Norm);
        return operations.Add(normed, x, readsOutput);
    }
}
