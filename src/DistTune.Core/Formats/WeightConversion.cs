using System.Numerics;
using System.Runtime.InteropServices;

namespace DistTune.Core.Formats;

/// <summary>Element conversions between fp32 and the stored types. Widening is exact; narrowing rounds to nearest, ties to even.</summary>
internal static class WeightConversion
{
    private const int BlockElements = 1 << 16;

    /// <summary>Bytes an element of the type takes on disk.</summary>
    public static int SizeOf(WeightType type) => type switch
    {
        WeightType.Float32 or WeightType.Int32 => 4,
        WeightType.Float16 or WeightType.BFloat16 => 2,
        WeightType.Int64 => 8,
        WeightType.UInt8 or WeightType.Int8 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "The type has no fixed element size."),
    };

    /// <summary>Widens little-endian elements to fp32.</summary>
    public static void Widen(WeightType type, ReadOnlySpan<byte> source, Span<float> destination)
    {
        switch (type)
        {
            case WeightType.Float32:
                MemoryMarshal.Cast<byte, float>(source).CopyTo(destination);
                break;
            case WeightType.BFloat16:
                WidenBFloat16(MemoryMarshal.Cast<byte, ushort>(source), destination);
                break;
            case WeightType.Float16:
                var halves = MemoryMarshal.Cast<byte, Half>(source);
                for (var i = 0; i < halves.Length; i++)
                {
                    destination[i] = (float)halves[i];
                }

                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(type), type, "Only floating-point weights widen to fp32.");
        }
    }

    /// <summary>Writes fp32 values as the given floating-point type, block by block.</summary>
    public static void Write(Stream stream, ReadOnlySpan<float> values, WeightType type)
    {
        if (type == WeightType.Float32)
        {
            for (var start = 0; start < values.Length; start += BlockElements)
            {
                stream.Write(MemoryMarshal.AsBytes(values.Slice(start, Math.Min(BlockElements, values.Length - start))));
            }

            return;
        }

        var block = new ushort[Math.Min(BlockElements, values.Length)];
        for (var start = 0; start < values.Length; start += block.Length)
        {
            var part = values.Slice(start, Math.Min(block.Length, values.Length - start));
            for (var i = 0; i < part.Length; i++)
            {
                block[i] = type switch
                {
                    WeightType.BFloat16 => ToBFloat16(part[i]),
                    WeightType.Float16 => BitConverter.HalfToUInt16Bits((Half)part[i]),
                    _ => throw new ArgumentOutOfRangeException(nameof(type), type, "fp32 values are written as Float32, Float16 or BFloat16."),
                };
            }

            stream.Write(MemoryMarshal.AsBytes(block.AsSpan(0, part.Length)));
        }
    }

    /// <summary>The bits of the nearest bfloat16, ties to even; NaN stays NaN.</summary>
    public static ushort ToBFloat16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private static void WidenBFloat16(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        var bits = MemoryMarshal.Cast<float, uint>(destination)[..source.Length];
        var i = 0;
        for (; i <= source.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(new Vector<ushort>(source[i..]), out var low, out var high);
            (low << 16).CopyTo(bits[i..]);
            (high << 16).CopyTo(bits[(i + Vector<uint>.Count)..]);
        }

        for (; i < source.Length; i++)
        {
            bits[i] = (uint)source[i] << 16;
        }
    }
}
