// Shapes: T rows of x, in and out features.
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using DistTune.Core.Quantization;

namespace DistTune.Modeling.Quantization;

/// <summary>
/// A matrix held in four bits. A product restores a block of rows at a time into one buffer, which the next block reuses, so that no
/// copy of the matrix ever exists. The blocks follow from the shape alone: the same bits for any number of lanes, and when computed again.
/// </summary>
/// <remarks>The bytes lie in host memory; on another device each block is restored here and copied there.</remarks>
internal sealed class FourBitMatrix : BlockedMatrix, IDisposable
{
    /// <summary>Elements that are restored at a time: 2 MB in fp32, so that a block is still in the cache when it is multiplied.</summary>
    internal const long BufferElements = 1 << 19;

    private const long RowStep = 64;

    private readonly FourBitState _state;
    private readonly Tensor _packed;
    private readonly Tensor _scales;
    private readonly Tensor _nested;

    private FourBitMatrix(FourBitState state, Tensor packed, Tensor scales, Tensor nested)
    {
        _state = state;
        _packed = packed;
        _scales = scales;
        _nested = nested;
    }

    /// <inheritdoc/>
    public override long Rows => _state.Shape[0];

    /// <inheritdoc/>
    public override long Columns => _state.Shape[1];

    /// <summary>The tensors it lies in, to be freed with the base.</summary>
    public ImmutableArray<Tensor> Parts => [_packed, _scales, _nested];

    private FourBitBytes Bytes => new() { Packed = _packed.bytes, Scales = _scales.bytes, Nested = MemoryMarshal.Cast<byte, float>(_nested.bytes) };

    /// <summary>Reads a weight that is held in four bits.</summary>
    public static FourBitMatrix Read(IFourBitWeights weights, string name)
    {
        var sizes = weights.FindFourBit(name)!;
        var packed = Allocate(sizes.PackedBytes, ScalarType.Byte);
        var scales = Allocate(sizes.ScaleBytes, ScalarType.Byte);
        var nested = Allocate(sizes.NestedCount, ScalarType.Float32);
        try
        {
            var bytes = new FourBitBytes { Packed = packed.bytes, Scales = scales.bytes, Nested = MemoryMarshal.Cast<byte, float>(nested.bytes) };
            return new FourBitMatrix(weights.ReadFourBit(name, bytes), packed, scales, nested);
        }
        catch
        {
            packed.Dispose();
            scales.Dispose();
            nested.Dispose();
            throw;
        }
    }

    /// <summary>How many rows a block of a matrix with so many columns has.</summary>
    internal static long RowsAtATime(long columns) => Math.Max(RowStep, BufferElements / columns / RowStep * RowStep);

    /// <inheritdoc/>
    public override void AddProduct(Tensor x, Tensor y) => ForEachBlock(x, (row, rows, block) =>
    {
        using var part = y.narrow(1, row, rows);
        using var transposed = block.t();
        part.addmm_(x, transposed);
    });

    /// <inheritdoc/>
    public override void AddTransposedProduct(Tensor gradient, Tensor result) => ForEachBlock(gradient, (row, rows, block) =>
    {
        using var part = gradient.narrow(1, row, rows);
        result.addmm_(part, block);
    });

    /// <inheritdoc/>
    public override Tensor RowBlock(long row, long rows, ScalarType type)
    {
        using var scope = torch.NewDisposeScope();
        var block = torch.empty([rows, Columns], dtype: ScalarType.Float32, device: torch.CPU);
        Restore(row, block);
        return (type == ScalarType.Float32 ? block : block.to(type)).MoveToOuterDisposeScope();
    }

    /// <summary>Frees the bytes.</summary>
    public void Dispose()
    {
        foreach (var part in Parts)
        {
            part.Dispose();
        }
    }

    // Weights outlive every scope they may be read in.
    private static Tensor Allocate(long length, ScalarType type) => torch.empty([length], dtype: type, device: torch.CPU).DetachFromDisposeScope();

    private void ForEachBlock(Tensor like, Action<long, long, Tensor> use)
    {
        using var scope = torch.NewDisposeScope();
        var step = Math.Min(RowsAtATime(Columns), Rows);
        var buffer = torch.empty([step, Columns], dtype: ScalarType.Float32, device: torch.CPU);
        for (long row = 0; row < Rows; row += step)
        {
            using var blockScope = torch.NewDisposeScope();
            var rows = Math.Min(step, Rows - row);
            var block = buffer.narrow(0, 0, rows);
            Restore(row, block);
            use(row, rows, InTypeOf(block, like));
        }
    }

    private static Tensor InTypeOf(Tensor block, Tensor like)
    {
        var typed = block.dtype == like.dtype ? block : block.to(like.dtype);
        return like.device.type == DeviceType.CPU ? typed : typed.to(like.device);
    }

    private void Restore(long row, Tensor block) =>
        FourBitTensor.Dequantize(_state, Bytes, checked(row * Columns), MemoryMarshal.Cast<byte, float>(block.bytes));
}
