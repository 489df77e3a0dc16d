namespace DistTune.Modeling.Kernels;

/// <summary>Heads of an attention: H query heads share K key/value heads of width d.</summary>
internal readonly record struct AttentionShape(int Heads, int KeyValueHeads, int HeadDimension)
{
    /// <summary>Query heads that share a key/value head.</summary>
    public int GroupSize => Heads / KeyValueHeads;

    /// <summary>Width of a row of fused q, k, v.</summary>
    public int FusedWidth => (Heads + (2 * KeyValueHeads)) * HeadDimension;

    /// <summary>Factor on q k.</summary>
    public double Scale => 1 / Math.Sqrt(HeadDimension);
}

/// <summary>
/// Query rows that attend causally to key rows. The last query sees every key, the one before it one key fewer, and so on, so that
/// the same span serves a whole sequence (both counts equal) and a cached one (fewer queries than keys).
/// </summary>
internal readonly record struct AttentionSpan(int QueryStart, int QueryCount, int KeyStart, int KeyCount);
