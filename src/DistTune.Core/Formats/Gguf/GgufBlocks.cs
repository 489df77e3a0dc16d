using System.Buffers.Binary;

namespace DistTune.Core.Formats;

/// <summary>
/// ggml's block types → fp32, bit for bit. Products and sums are rounded apart (C# never fuses them), as ggml's reference does; a fused
/// multiply-add would change last bits and with them every hash.
/// </summary>
internal static class GgufBlocks
{
    private const int BlockElements = 32;
    private const int Half = BlockElements / 2;

    /// <summary>Dequantises whole blocks.</summary>
    public static void Dequantize(GgufType type, ReadOnlySpan<byte> source, Span<float> destination)
    {
        switch (type.Name)
        {
            case "Q8_0":
                DequantizeQ80(source, destination);
                break;
            case "Q4_0":
                DequantizeQ40(source, destination);
                break;
            case "Q4_1":
                DequantizeQ41(source, destination);
                break;
            default:
                WeightConversion.Widen(type.WeightType, source, destination);
                break;
        }
    }

    // Scale d, 32 signed bytes: d * q.
    private static void DequantizeQ80(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (; source.Length > 0; source = source[34..], destination = destination[BlockElements..])
        {
            var scale = (float)BinaryPrimitives.ReadHalfLittleEndian(source);
            for (var i = 0; i < BlockElements; i++)
            {
                destination[i] = scale * (sbyte)source[2 + i];
            }
        }
    }

    // Scale d, 16 bytes: low nibbles are values 0-15, high nibbles 16-31: d * (q - 8).
    private static void DequantizeQ40(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (; source.Length > 0; source = source[18..], destination = destination[BlockElements..])
        {
            var scale = (float)BinaryPrimitives.ReadHalfLittleEndian(source);
            for (var i = 0; i < Half; i++)
            {
                var pair = source[2 + i];
                destination[i] = scale * ((pair & 0xF) - 8);
                destination[Half + i] = scale * ((pair >> 4) - 8);
            }
        }
    }

    // Scale d, minimum m, 16 bytes in the same order: d * q + m.
    private static void DequantizeQ41(ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (; source.Length > 0; source = source[20..], destination = destination[BlockElements..])
        {
            var scale = (float)BinaryPrimitives.ReadHalfLittleEndian(source);
            var minimum = (float)BinaryPrimitives.ReadHalfLittleEndian(source[2..]);
            for (var i = 0; i < Half; i++)
            {
                var pair = source[4 + i];
                destination[i] = (scale * (pair & 0xF)) + minimum;
                destination[Half + i] = (scale * (pair >> 4)) + minimum;
            }
        }
    }
}
