using System.Collections.Immutable;
using DistTune.Core.Formats;

namespace DistTune.Core.Quantization;

/// <summary>Scales that are quantised themselves: code * nested scale + offset.</summary>
/// <param name="BlockSize">Scales that share a nested scale.</param>
/// <param name="Offset">Mean of the scales.</param>
public sealed record NestedScales(int BlockSize, float Offset);

/// <summary>What is known of a 4-bit tensor besides its bytes.</summary>
/// <param name="Kind">What its codes stand for.</param>
/// <param name="BlockSize">Elements that share a scale.</param>
/// <param name="ValueType">The type its values are rounded to when they are restored: that of the weights it was made from.</param>
/// <param name="Shape">The tensor's own shape.</param>
/// <param name="Nested">How its scales are quantised; null if they are fp32.</param>
public sealed record FourBitState(FourBitKind Kind, int BlockSize, WeightType ValueType, ImmutableArray<long> Shape, NestedScales? Nested)
{
    /// <summary>Number of elements.</summary>
    public long Length => Shape.Aggregate(1L, (product, dimension) => checked(product * dimension));

    /// <summary>Bytes of the codes.</summary>
    public long PackedBytes => FourBitBlocks.PackedLength(Length);

    /// <summary>Number of scales.</summary>
    public long ScaleCount => FourBitBlocks.BlockCount(Length, BlockSize);

    /// <summary>Bytes of the scales, fp32 or codes.</summary>
    public long ScaleBytes => Nested is null ? checked(ScaleCount * sizeof(float)) : ScaleCount;

    /// <summary>Number of nested scales; 0 without double quantisation.</summary>
    public long NestedCount => Nested is null ? 0 : FourBitBlocks.BlockCount(ScaleCount, Nested.BlockSize);
}

/// <summary>The bytes of a 4-bit tensor, wherever they lie.</summary>
public readonly ref struct FourBitBytes
{
    /// <summary>Two codes a byte.</summary>
    public required Span<byte> Packed { get; init; }

    /// <summary>The scales: little-endian fp32, or codes.</summary>
    public required Span<byte> Scales { get; init; }

    /// <summary>The scales of the scales; empty without double quantisation.</summary>
    public required Span<float> Nested { get; init; }
}
