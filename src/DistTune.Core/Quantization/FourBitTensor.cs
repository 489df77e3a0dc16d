using System.Buffers;
using System.Collections.Immutable;
using System.Numerics;
using System.Runtime.InteropServices;
using DistTune.Core.Formats;

namespace DistTune.Core.Quantization;

/// <summary>Quantises whole tensors to four bits and restores ranges of them.</summary>
public static class FourBitTensor
{
    private const int ScalesAtOnce = 1024;

    /// <summary>Quantises a tensor.</summary>
    /// <param name="values">All its values.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="valueType">The type the values came in.</param>
    /// <param name="settings">How.</param>
    /// <param name="bytes">Takes the result; as long as a state of this shape and settings says.</param>
    /// <returns>What goes with the bytes.</returns>
    /// <exception cref="DistTuneException">A value is not finite.</exception>
    public static FourBitState Quantize(ReadOnlySpan<float> values, ImmutableArray<long> shape, WeightType valueType, FourBitSettings settings, FourBitBytes bytes)
    {
        ArgumentNullException.ThrowIfNull(settings);
        var state = EmptyState(shape, valueType, settings);
        if (state.Length != values.Length)
        {
            throw new ArgumentException($"The shape has {state.Length} elements, got {values.Length} values.", nameof(values));
        }

        if (!settings.DoubleQuantization)
        {
            FourBitBlocks.Quantize(values, settings.Kind, settings.BlockSize, bytes.Packed, MemoryMarshal.Cast<byte, float>(bytes.Scales));
            return state;
        }

        var rented = ArrayPool<float>.Shared.Rent(checked((int)state.ScaleCount));
        try
        {
            var scales = rented.AsSpan(0, (int)state.ScaleCount);
            FourBitBlocks.Quantize(values, settings.Kind, settings.BlockSize, bytes.Packed, scales);
            var offset = ReferenceMean.Of(scales);
            foreach (ref var scale in scales)
            {
                scale -= offset;
            }

            EightBitBlocks.Quantize(scales, CodeBook.Dynamic, FourBitSettings.NestedBlockSize, bytes.Scales, bytes.Nested);
            return state with { Nested = new NestedScales(FourBitSettings.NestedBlockSize, offset) };
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }

    /// <summary>The state that <see cref="Quantize"/> will return, but for the offset: how many bytes it takes.</summary>
    public static FourBitState EmptyState(ImmutableArray<long> shape, WeightType valueType, FourBitSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return new FourBitState(settings.Kind, settings.BlockSize, valueType, shape, settings.DoubleQuantization ? new NestedScales(FourBitSettings.NestedBlockSize, 0) : null);
    }

    /// <summary>Replaces values by what four bits make of them.</summary>
    /// <param name="values">All values of a tensor.</param>
    /// <param name="shape">Its shape.</param>
    /// <param name="valueType">The type that they are restored to.</param>
    /// <param name="settings">How.</param>
    /// <exception cref="DistTuneException">A value is not finite.</exception>
    public static void RoundTrip(Span<float> values, ImmutableArray<long> shape, WeightType valueType, FourBitSettings settings)
    {
        var empty = EmptyState(shape, valueType, settings);
        var bytes = new FourBitBytes { Packed = new byte[empty.PackedBytes], Scales = new byte[empty.ScaleBytes], Nested = new float[empty.NestedCount] };
        Dequantize(Quantize(values, shape, valueType, settings, bytes), bytes, 0, values);
    }

    /// <summary>Restores elements from <paramref name="start"/> on: code times scale in fp32, rounded to the state's type.</summary>
    public static void Dequantize(FourBitState state, FourBitBytes bytes, long start, Span<float> values)
    {
        ArgumentNullException.ThrowIfNull(state);
        Span<float> scales = stackalloc float[ScalesAtOnce];
        var done = 0;
        while (done < values.Length)
        {
            var element = start + done;
            var block = element / state.BlockSize;
            var end = Math.Min((block + ScalesAtOnce) * state.BlockSize, start + values.Length);
            var part = values.Slice(done, (int)(end - element));
            var needed = scales[..(int)(((end - 1) / state.BlockSize) - block + 1)];
            RestoreScales(state, bytes, block, needed);
            FourBitBlocks.Dequantize(bytes.Packed, needed, state.Kind, state.BlockSize, element, part);
            done += part.Length;
        }

        Round(values, state.ValueType);
    }

    /// <summary>The fp32 scales of the blocks from <paramref name="first"/> on.</summary>
    public static void RestoreScales(FourBitState state, FourBitBytes bytes, long first, Span<float> scales)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (state.Nested is not { } nested)
        {
            MemoryMarshal.Cast<byte, float>(bytes.Scales).Slice((int)first, scales.Length).CopyTo(scales);
            return;
        }

        var book = CodeBook.Dynamic.Values.AsSpan();
        for (var i = 0; i < scales.Length; i++)
        {
            scales[i] = (book[bytes.Scales[(int)first + i]] * bytes.Nested[(int)((first + i) / nested.BlockSize)]) + nested.Offset;
        }
    }

    private static void Round(Span<float> values, WeightType type)
    {
        switch (type)
        {
            case WeightType.BFloat16:
                RoundToBFloat16(values);
                break;
            case WeightType.Float16:
                foreach (ref var value in values)
                {
                    value = (float)(Half)value;
                }

                break;
            default:
                break;
        }
    }

    private static void RoundToBFloat16(Span<float> values)
    {
        var bits = MemoryMarshal.Cast<float, uint>(values);
        var i = 0;
        for (; i <= bits.Length - Vector<uint>.Count; i += Vector<uint>.Count)
        {
            var value = new Vector<uint>(bits[i..]);
            var rounded = value + new Vector<uint>(0x7FFF) + ((value >>> 16) & Vector<uint>.One);
            (rounded & new Vector<uint>(0xFFFF0000)).CopyTo(bits[i..]);
        }

        for (; i < bits.Length; i++)
        {
            bits[i] = (bits[i] + 0x7FFF + ((bits[i] >> 16) & 1)) & 0xFFFF0000;
        }
    }
}
