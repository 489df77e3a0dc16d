using System.Collections.Immutable;

namespace DistTune.Core.Models;

/// <summary>Rotary position embedding over pairs (i, i + dims/2) of each head (Su et al. 2021, arXiv:2104.09864).</summary>
/// <param name="Theta">Base of the frequencies.</param>
/// <param name="Dimensions">How many leading dimensions of a head rotate.</param>
/// <param name="Scaling">How frequencies are stretched for long contexts; null leaves them.</param>
public sealed record RotarySpec(double Theta, int Dimensions, RotaryScaling? Scaling);

/// <summary>Base of the rotary scalings; each kind is a record of its own.</summary>
public abstract record RotaryScaling;

/// <summary>Frequencies divided by a factor.</summary>
public sealed record LinearRotaryScaling(double Factor) : RotaryScaling;

/// <summary>A base that grows with the length once it is past the original one.</summary>
/// <param name="Factor">How fast it grows.</param>
/// <param name="OriginalMaxPositions">Length up to which nothing changes.</param>
public sealed record DynamicRotaryScaling(double Factor, int OriginalMaxPositions) : RotaryScaling;

/// <summary>Llama 3's piecewise scaling.</summary>
public sealed record Llama3RotaryScaling(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OriginalMaxPositions) : RotaryScaling;

/// <summary>LongRoPE: a divisor for each frequency, one set up to the original length and one beyond it (Ding et al. 2024, arXiv:2402.13753).</summary>
/// <param name="ShortFactors">Divisors up to the original length.</param>
/// <param name="LongFactors">Divisors beyond it, for every position.</param>
/// <param name="OriginalMaxPositions">The original length.</param>
/// <param name="AttentionFactor">Factor on cosines and sines, with both sets.</param>
public sealed record LongRotaryScaling(ImmutableArray<float> ShortFactors, ImmutableArray<float> LongFactors, int OriginalMaxPositions, double AttentionFactor) : RotaryScaling;

/// <summary>YaRN: high frequencies stay, low ones are divided by a factor, those between are blended (Peng et al. 2023, arXiv:2309.00071).</summary>
/// <param name="Factor">The divisor.</param>
/// <param name="OriginalMaxPositions">Length of the original training.</param>
/// <param name="BetaFast">Rotations within the original length from which a frequency stays.</param>
/// <param name="BetaSlow">Rotations up to which a frequency is divided by the whole factor.</param>
/// <param name="Truncate">Whether the bounds of the blend are rounded outward to whole pairs.</param>
/// <param name="AttentionFactor">Factor on cosines and sines.</param>
public sealed record YarnRotaryScaling(double Factor, int OriginalMaxPositions, double BetaFast, double BetaSlow, bool Truncate, double AttentionFactor) : RotaryScaling;
