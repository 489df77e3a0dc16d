namespace DistTune.Core.Numerics;

/// <summary>The largest singular values of a matrix with their vectors: M = sum of Values[i] Left[i] Right[i]^T, as far as they go.</summary>
/// <param name="Values">Descending.</param>
/// <param name="Left">Unit vectors of the matrix's height; zero where the value is zero.</param>
/// <param name="Right">Unit vectors of the matrix's width; zero where the value is zero.</param>
public sealed record SingularTriplets(double[] Values, double[][] Left, double[][] Right);
