namespace DistTune.Core.Quantization;

/// <summary>Rows in signed bytes with one scale each (LLM.int8, Dettmers et al. 2022, arXiv:2208.07339).</summary>
public static class RowwiseInt8
{
    private const float Steps = 127f;

    // The reciprocal as the reference implementation rounds it.
    private const float Inverse = 0.007874015718698502f;

    /// <summary>Quantises rows: the largest magnitude of each becomes 127.</summary>
    /// <param name="values">The rows, one after the other.</param>
    /// <param name="columns">Elements of a row.</param>
    /// <param name="codes">Takes a code for each value.</param>
    /// <param name="scales">Takes the largest magnitude of each row.</param>
    /// <exception cref="DistTuneException">A value is not finite.</exception>
    public static void Quantize(ReadOnlySpan<float> values, int columns, Span<sbyte> codes, Span<float> scales)
    {
        BlockScale.Check(values.Length, columns, scales.Length);
        for (var row = 0; row < scales.Length; row++)
        {
            var part = values.Slice(row * columns, columns);
            var scale = BlockScale.Of(part, isWhole: true).Stored;
            var factor = scale == 0 ? 0 : Steps / scale;
            for (var i = 0; i < columns; i++)
            {
                codes[(row * columns) + i] = (sbyte)MathF.Round(part[i] * factor, MidpointRounding.ToEven);
            }

            scales[row] = scale;
        }
    }

    /// <summary>The values that codes and scales stand for.</summary>
    public static void Dequantize(ReadOnlySpan<sbyte> codes, int columns, ReadOnlySpan<float> scales, Span<float> values)
    {
        BlockScale.Check(values.Length, columns, scales.Length);
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = codes[i] * scales[i / columns] * Inverse;
        }
    }
}
