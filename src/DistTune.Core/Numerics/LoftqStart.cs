using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Numerics;

/// <summary>
/// LoftQ (Li et al. 2023, arXiv:2310.08659) as the start of a run: what four bits leave out of a module's weight is given to its factors,
/// s B A ≈ W - Q. The product is PEFT's; PEFT leaves out the scale s, so that there it only holds where alpha is the rank.
/// </summary>
public static class LoftqStart
{
    /// <summary>The adapter that a run starts from. A module that is not held in four bits starts as ever.</summary>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">What is trained.</param>
    /// <param name="quantization">How the base is held in four bits.</param>
    /// <param name="spec">What the base is.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="weights">The original base, in full.</param>
    /// <exception cref="DistTuneException">The start does not go with what is trained, or the base is in four bits already.</exception>
    public static float[] Values(ParameterLayout layout, AdapterSettings settings, FourBitSettings quantization, DecoderSpec spec, ulong seed, IWeightSource weights)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(weights);
        FactorPair.RequirePlain("loftq", layout, settings);
        RequireFull(weights);
        var names = FourBitModules.Of(spec).ToHashSet(StringComparer.Ordinal);
        var values = AdapterInitialization.Create(layout, settings with { Start = LoraStart.Zero }, seed, weights: RestoredWeights.Of(weights, spec, quantization));
        foreach (var pair in FactorPair.Of(layout).Where(pair => names.Contains(pair.Weight)))
        {
            var weight = new float[checked(pair.Rows * pair.Columns)];
            weights.ReadFloat32(pair.Weight, weight);
            var factors = Factors(pair, weight, settings, quantization, weights.Find(pair.Weight)!.Type, settings.LoftqIterations);
            factors.A.CopyTo(values.AsSpan(checked((int)pair.A.Offset)));
            factors.B.CopyTo(values.AsSpan(checked((int)pair.B.Offset)));
        }

        return values;
    }

    /// <summary>Refuses a base whose four bits have left something out already that nobody knows any more.</summary>
    /// <exception cref="DistTuneException">It is such a base.</exception>
    internal static void RequireFull(IWeightSource weights)
    {
        if (weights is IFourBitWeights)
        {
            throw new DistTuneException(FaultKind.Configuration, "init_lora_weights: loftq starts from what four bits leave out of the base, but the base is held in four bits already. Name the base in full precision, or use init_lora_weights: true.");
        }
    }

    /// <summary>The factors of a module after some iterations.</summary>
    internal static PrincipalFactors Factors(FactorPair pair, float[] weight, AdapterSettings settings, FourBitSettings quantization, WeightType type, int iterations)
    {
        pair.RequireRank();
        return LoftqFactors.Of(weight, pair.Rows, pair.Columns, pair.Rank, iterations, quantization, QuantizingWeights.ValueType(type), settings.ScaleOf(pair.Module)).Factors;
    }

    /// <summary>Names the base that a run's start leaves: the iterations, and what each module's factors may hold.</summary>
    internal static string Tag(ParameterLayout layout, AdapterSettings settings)
    {
        var text = new StringBuilder();
        foreach (var pair in FactorPair.Of(layout))
        {
            text.Append(CultureInfo.InvariantCulture, $"{pair.Module} {pair.Rank} {settings.ScaleOf(pair.Module):R}\n");
        }

        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
        return string.Create(CultureInfo.InvariantCulture, $"loftq{settings.LoftqIterations}-{hash[..12]}");
    }
}
