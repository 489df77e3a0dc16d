// Shapes: T rows, D width, V vocabulary, R rank.
using System.Collections.Immutable;

namespace DistTune.Modeling.Decoders;

/// <summary>LoRA on one module of a fused projection: rows [Row, Row + Rows) of y get Scale * (B (A x) + Bias).</summary>
/// <param name="EntryA">Index of A in the parameter layout.</param>
/// <param name="EntryB">Index of B in the parameter layout.</param>
/// <param name="RankOffset">First row of this module's A in the stacked A.</param>
/// <param name="Rank">R of this module.</param>
/// <param name="Row">First output feature in the fused projection.</param>
/// <param name="Rows">Output features.</param>
/// <param name="B">[Rows, Rank], fp32.</param>
/// <param name="Scale">alpha / r or alpha / √r, times the adapter's weight.</param>
internal sealed record LoraPart(int EntryA, int EntryB, long RankOffset, long Rank, long Row, long Rows, Tensor B, float Scale)
{
    /// <summary>The bias of B [Rows], fp32, with its index in the parameter layout; null if it has none.</summary>
    public (Tensor Value, int Entry)? Bias { get; init; }

    /// <summary>The stream that the module's dropout is drawn from.</summary>
    public ulong DropoutStream { get; init; }
}

/// <summary>The LoRA factors of a fused projection; those that share its input have their A's stacked, so that one product serves all.</summary>
/// <param name="StackedA">[sum of ranks, in], fp32.</param>
/// <param name="Parts">The modules, ascending; several for one module where several adapters are active.</param>
internal sealed record LoraFactors(Tensor StackedA, ImmutableArray<LoraPart> Parts);

/// <summary>DoRA on a fused projection: each row of W x + s B A x is scaled by m / n, n being the length of that row of W + s B A.</summary>
/// <param name="Factors">m / n [out], fp32; one where there is no DoRA.</param>
/// <param name="Lengths">n [out], fp32; a constant to the derivative.</param>
/// <param name="Magnitudes">The trained m's.</param>
internal sealed record RowScales(Tensor Factors, Tensor Lengths, ImmutableArray<TrainedRows> Magnitudes);

/// <summary>LoRA on the embedding: a token's row gets Scale * A[:, token]^T B^T.</summary>
/// <param name="EntryA">Index of A in the parameter layout.</param>
/// <param name="EntryB">Index of B in the parameter layout.</param>
/// <param name="A">[R, V], fp32.</param>
/// <param name="B">[D, R], fp32.</param>
/// <param name="Scale">alpha / r or alpha / √r, times the adapter's weight.</param>
internal sealed record EmbeddingLora(int EntryA, int EntryB, Tensor A, Tensor B, float Scale)
{
    /// <summary>DoRA's scales of the dimensions, if any: each of E[token] + s A[:, token]^T B^T is scaled by m / n.</summary>
    public DimensionScales? Dora { get; init; }
}

/// <summary>DoRA on the embedding; n is the length of that column of E + s (B A)^T.</summary>
/// <param name="Factors">m / n [D], fp32.</param>
/// <param name="Lengths">n [D], fp32; a constant to the derivative.</param>
/// <param name="Entry">Index of m in the parameter layout.</param>
internal sealed record DimensionScales(Tensor Factors, Tensor Lengths, int Entry);
