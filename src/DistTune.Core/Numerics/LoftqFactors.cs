using DistTune.Core.Merging;
using DistTune.Core.Quantization;

namespace DistTune.Core.Numerics;

/// <summary>
/// A quantised matrix with the factors that make up for it best (LoftQ, Li et al. 2023, arXiv:2310.08659): W ≈ Quantized + B A.
/// </summary>
/// <param name="Quantized">What the four-bit matrix stands for, row-major.</param>
/// <param name="Remainder">What was quantised, so that quantising it again gives the same bytes.</param>
/// <param name="Factors">A and B; their product is not scaled.</param>
public sealed record LoftqFactors(float[] Quantized, float[] Remainder, PrincipalFactors Factors)
{
    /// <summary>Quantises and decomposes in turn: Q of R (at first W), factors of W - Q, R = W - B A.</summary>
    /// <param name="weight">W, row-major.</param>
    /// <param name="rows">Its height.</param>
    /// <param name="columns">Its width.</param>
    /// <param name="rank">Rank of the factors.</param>
    /// <param name="iterations">How often; at least 1.</param>
    /// <param name="settings">How four bits stand for values; scales are never quantised themselves while this goes on.</param>
    public static LoftqFactors Of(float[] weight, int rows, int columns, int rank, int iterations, FourBitSettings settings)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentOutOfRangeException.ThrowIfLessThan(iterations, 1);
        var remainder = (float[])weight.Clone();
        for (var iteration = 1; ; iteration++)
        {
            var quantized = RoundTrip(remainder, settings);
            var difference = new float[weight.Length];
            for (var i = 0; i < difference.Length; i++)
            {
                difference[i] = weight[i] - quantized[i];
            }

            var factors = PrincipalFactors.Of(difference, rows, columns, rank, scale: 1);
            if (iteration == iterations)
            {
                return new LoftqFactors(quantized, remainder, factors);
            }

            weight.CopyTo(remainder.AsSpan());
            var module = new AdaptedModule("", false, new AdapterTensor([rank, columns], factors.A), new AdapterTensor([rows, rank], factors.B), -1);
            WeightUpdate.Apply(module, remainder);
        }
    }

    private static float[] RoundTrip(float[] values, FourBitSettings settings)
    {
        var packed = new byte[FourBitBlocks.PackedLength(values.Length)];
        var scales = new float[FourBitBlocks.BlockCount(values.Length, settings.BlockSize)];
        FourBitBlocks.Quantize(values, settings.Kind, settings.BlockSize, packed, scales);
        var restored = new float[values.Length];
        FourBitBlocks.Dequantize(packed, scales, settings.Kind, settings.BlockSize, 0, restored);
        return restored;
    }
}
