namespace DistTune.Core.Quantization;

/// <summary>Blockwise quantisation to eight bits, bit for bit as bitsandbytes' portable rules have it (Dettmers et al. 2021, arXiv:2110.02861).</summary>
public static class EightBitBlocks
{
    /// <summary>Quantises whole blocks and, at the end of a tensor, a short one.</summary>
    /// <param name="values">The values.</param>
    /// <param name="book">What the codes stand for.</param>
    /// <param name="blockSize">Elements that share a scale.</param>
    /// <param name="codes">Takes a code for each value.</param>
    /// <param name="scales">Takes a scale for each block.</param>
    /// <exception cref="DistTuneException">A value is not finite.</exception>
    public static void Quantize(ReadOnlySpan<float> values, CodeBook book, int blockSize, Span<byte> codes, Span<float> scales)
    {
        ArgumentNullException.ThrowIfNull(book);
        BlockScale.Check(values.Length, blockSize, scales.Length);
        for (var block = 0; block < scales.Length; block++)
        {
            var start = block * blockSize;
            var part = values[start..Math.Min(start + blockSize, values.Length)];
            var scale = BlockScale.Of(part, isWhole: part.Length == blockSize);
            for (var i = 0; i < part.Length; i++)
            {
                codes[start + i] = book.CodeOf(scale.Apply(part[i]));
            }

            scales[block] = scale.Stored;
        }
    }

    /// <summary>The values that codes and scales stand for.</summary>
    public static void Dequantize(ReadOnlySpan<byte> codes, ReadOnlySpan<float> scales, CodeBook book, int blockSize, Span<float> values)
    {
        ArgumentNullException.ThrowIfNull(book);
        BlockScale.Check(values.Length, blockSize, scales.Length);
        var table = book.Values.AsSpan();
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = table[codes[i]] * scales[i / blockSize];
        }
    }
}
