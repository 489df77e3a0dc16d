namespace DistTune.Core.Numerics;

/// <summary>
/// The singular value decomposition of a small matrix by one-sided Jacobi rotations (Hestenes 1958): slow for large ones, and accurate
/// to the last bits for every singular value.
/// </summary>
internal static class JacobiDecomposition
{
    private const int MaxSweeps = 60;
    private const double Orthogonal = 1e-15;

    /// <summary>All singular triplets, descending.</summary>
    /// <param name="vectors">The matrix's rows or columns, whichever are fewer; they become the scaled singular vectors.</param>
    /// <returns>The values, the unit vectors of the given vectors' length, and those of their number.</returns>
    /// <exception cref="DistTuneException">The matrix holds a value that is not finite.</exception>
    public static (double[] Values, double[][] Long, double[][] Short) Decompose(double[][] vectors)
    {
        var count = vectors.Length;
        var rotations = new double[count][];
        for (var i = 0; i < count; i++)
        {
            rotations[i] = new double[count];
            rotations[i][i] = 1;
        }

        var sweep = 0;
        while (Sweep(vectors, rotations))
        {
            if (++sweep == MaxSweeps)
            {
                throw new DistTuneException(FaultKind.InvalidFile, $"The singular values of a matrix did not settle within {MaxSweeps} sweeps; it holds values that are not finite. Check the weights.");
            }
        }

        var lengths = Array.ConvertAll(vectors, vector => FixedOrder.Length(vector));
        var order = Enumerable.Range(0, count).OrderByDescending(i => lengths[i]).ThenBy(i => i).ToArray();
        foreach (var i in order)
        {
            if (lengths[i] > 0)
            {
                FixedOrder.Scale(vectors[i], 1 / lengths[i]);
            }
        }

        return ([.. order.Select(i => lengths[i])], [.. order.Select(i => vectors[i])], [.. order.Select(i => rotations[i])]);
    }

    /// <summary>Turns every pair of vectors to a right angle; says whether any pair had to be turned.</summary>
    private static bool Sweep(double[][] vectors, double[][] rotations)
    {
        var turned = false;
        for (var p = 0; p < vectors.Length - 1; p++)
        {
            for (var q = p + 1; q < vectors.Length; q++)
            {
                var alpha = FixedOrder.Dot(vectors[p], vectors[p]);
                var beta = FixedOrder.Dot(vectors[q], vectors[q]);
                var gamma = FixedOrder.Dot(vectors[p], vectors[q]);
                // The count in the bound is what rounding in a product of that length comes to.
                if (Math.Abs(gamma) <= Orthogonal * vectors[p].Length * Math.Sqrt(alpha * beta))
                {
                    continue;
                }

                turned = true;
                var zeta = (beta - alpha) / (2 * gamma);
                var tangent = (zeta < 0 ? -1 : 1) / (Math.Abs(zeta) + Math.Sqrt(1 + (zeta * zeta)));
                var cosine = 1 / Math.Sqrt(1 + (tangent * tangent));
                FixedOrder.Rotate(vectors[p], vectors[q], cosine, cosine * tangent);
                FixedOrder.Rotate(rotations[p], rotations[q], cosine, cosine * tangent);
            }
        }

        return turned;
    }
}
