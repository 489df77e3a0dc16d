namespace DistTune.Modeling.Kernels;

/// <summary>An attention: H query heads share K key/value heads of width d.</summary>
internal readonly record struct AttentionShape(int Heads, int KeyValueHeads, int HeadDimension)
{
    /// <summary>Query heads that share a key/value head.</summary>
    public int GroupSize => Heads / KeyValueHeads;

    /// <summary>Width of a row of fused q, k, v.</summary>
    public int FusedWidth => (Heads + (2 * KeyValueHeads)) * HeadDimension;

    /// <summary>Factor on q k.</summary>
    public double Scale { get; init; } = 1 / Math.Sqrt(HeadDimension);

    /// <summary>c of scores c * tanh(score / c); null leaves them.</summary>
    public double? SoftCap { get; init; }

    /// <summary>How many keys a query sees, its own included; null for all before it.</summary>
    public int? Window { get; init; }
}

/// <summary>
/// Query rows that attend causally to key rows. The last query sees every key, the one before it one key fewer, and so on, so that
/// the same span serves a whole sequence (both counts equal) and a cached one (fewer queries than keys). A window leaves each query
/// the last keys of those.
/// </summary>
internal readonly record struct AttentionSpan(int QueryStart, int QueryCount, int KeyStart, int KeyCount);
