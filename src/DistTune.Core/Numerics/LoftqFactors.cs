using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Core.Quantization;

namespace DistTune.Core.Numerics;

/// <summary>
/// A quantised matrix with the factors that make up for it best (LoftQ, Li et al. 2023, arXiv:2310.08659): W ≈ Quantized + s B A.
/// </summary>
/// <param name="Quantized">What the four-bit matrix stands for, row-major.</param>
/// <param name="Remainder">What was quantised, so that quantising it again gives the same bytes.</param>
/// <param name="Factors">A and B.</param>
public sealed record LoftqFactors(float[] Quantized, float[] Remainder, PrincipalFactors Factors)
{
    /// <summary>Quantises and decomposes in turn: Q of R (at first W), factors of W - Q, R = W - s B A.</summary>
    /// <param name="weight">W, row-major.</param>
    /// <param name="rows">Its height.</param>
    /// <param name="columns">Its width.</param>
    /// <param name="rank">Rank of the factors.</param>
    /// <param name="iterations">How often; at least 1.</param>
    /// <param name="settings">How four bits stand for values.</param>
    /// <param name="valueType">The type that they are restored to.</param>
    /// <param name="scale">s, the factor on the product B A.</param>
    public static LoftqFactors Of(float[] weight, int rows, int columns, int rank, int iterations, FourBitSettings settings, WeightType valueType = WeightType.Float32, double scale = 1)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentOutOfRangeException.ThrowIfLessThan(iterations, 1);
        var remainder = (float[])weight.Clone();
        for (var iteration = 1; ; iteration++)
        {
            var quantized = (float[])remainder.Clone();
            FourBitTensor.RoundTrip(quantized, [rows, columns], valueType, settings);
            var difference = new float[weight.Length];
            for (var i = 0; i < difference.Length; i++)
            {
                difference[i] = weight[i] - quantized[i];
            }

            var factors = PrincipalFactors.Of(difference, rows, columns, rank, scale);
            if (iteration == iterations)
            {
                return new LoftqFactors(quantized, remainder, factors);
            }

            weight.CopyTo(remainder.AsSpan());
            Subtract(factors, rows, columns, rank, scale, remainder);
        }
    }

    /// <summary>W - s B A, in place.</summary>
    internal static void Subtract(PrincipalFactors factors, int rows, int columns, int rank, double scale, Span<float> weight) =>
        WeightUpdate.Apply(new AdaptedModule("", false, new AdapterTensor([rank, columns], factors.A), new AdapterTensor([rows, rank], factors.B), -scale), weight);
}
