using DistTune.Core.Numerics;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Numerics;

public sealed class SingularValuesTests
{
    [Theory]
    [InlineData(7, 5, 3)]
    [InlineData(5, 7, 5)]
    [InlineData(64, 64, 4)]
    [InlineData(1, 9, 1)]
    [InlineData(320, 200, 6)]
    [InlineData(200, 320, 6)]
    public void Known_singular_values_and_vectors_are_found(int rows, int columns, int count)
    {
        var side = Math.Min(rows, columns);
        var known = Enumerable.Range(0, side).Select(i => 10.0 / (1 + i)).ToArray();
        var matrix = Compose(Directions(1, rows, side), known, Directions(2, columns, side));

        var found = SingularValues.Largest(matrix, rows, columns, count);

        for (var i = 0; i < count; i++)
        {
            Assert.Equal(known[i], found.Values[i], 1e-5);
            Assert.True(Residual(matrix, rows, columns, found, i) < 1e-6);
        }
    }

    [Fact]
    public void The_iteration_agrees_with_the_whole_decomposition_on_a_flat_spectrum()
    {
        var matrix = Random(3, 256 * 180);

        var iterated = LanczosDecomposition.Decompose(matrix, 256, 180, 12);
        var whole = SingularValues.Largest(matrix, 256, 180, 180);

        Assert.All(Enumerable.Range(0, 12), i => Assert.Equal(whole.Values[i], iterated.Values[i], 1e-9));
    }

    [Fact]
    public void A_matrix_of_low_rank_has_zeros_where_there_is_nothing()
    {
        var matrix = Compose(Directions(4, 300, 2), [3.0, 2.0], Directions(5, 250, 2));

        var found = SingularValues.Largest(matrix, 300, 250, 5);

        Assert.Equal(3.0, found.Values[0], 1e-5);
        Assert.Equal(2.0, found.Values[1], 1e-5);
        Assert.All(found.Values[2..], value => Assert.Equal(0, value, 1e-5));
    }

    [Fact]
    public void A_matrix_of_zeros_has_no_direction()
    {
        Assert.Equal([0.0, 0.0], SingularValues.Largest(new float[6 * 4], 6, 4, 2).Values);
        Assert.Equal([0.0, 0.0], SingularValues.Largest(new float[200 * 170], 200, 170, 2).Values);
    }

    [Fact]
    public void The_same_matrix_gives_the_same_bits()
    {
        var matrix = Random(6, 400 * 300);

        var once = PrincipalFactors.Of(matrix, 400, 300, 8, 2);
        var again = PrincipalFactors.Of(matrix, 400, 300, 8, 2);

        Assert.Equal(once.A, again.A);
        Assert.Equal(once.B, again.B);
    }

    [Fact]
    public void Values_that_are_not_finite_are_refused()
    {
        var fault = Assert.Throws<DistTuneException>(() => SingularValues.Largest([1, float.NaN, 3, 4], 2, 2, 1));

        Assert.Contains("not finite", fault.Message, StringComparison.Ordinal);
    }

    private static double Residual(float[] matrix, int rows, int columns, SingularTriplets found, int index)
    {
        var worst = 0.0;
        for (var row = 0; row < rows; row++)
        {
            var sum = 0.0;
            for (var column = 0; column < columns; column++)
            {
                sum += matrix[(row * columns) + column] * found.Right[index][column];
            }

            worst = Math.Max(worst, Math.Abs(sum - (found.Values[index] * found.Left[index][row])));
        }

        return worst;
    }

    private static float[] Random(ulong seed, int length) =>
        [.. Enumerable.Range(0, length).Select(i => (float)CounterRandom.Normal(seed, 0, (ulong)i))];

    private static double[][] Directions(ulong seed, int length, int count)
    {
        var basis = new double[count][];
        for (var i = 0; i < count; i++)
        {
            basis[i] = [.. Enumerable.Range(0, length).Select(j => CounterRandom.Normal(seed, (ulong)i, (ulong)j))];
            for (var pass = 0; pass < 2; pass++)
            {
                for (var other = 0; other < i; other++)
                {
                    var share = basis[i].Zip(basis[other], (a, b) => a * b).Sum();
                    basis[i] = [.. basis[i].Zip(basis[other], (a, b) => a - (share * b))];
                }
            }

            var norm = Math.Sqrt(basis[i].Sum(value => value * value));
            basis[i] = [.. basis[i].Select(value => value / norm)];
        }

        return basis;
    }

    private static float[] Compose(double[][] left, double[] values, double[][] right)
    {
        var (rows, columns) = (left[0].Length, right[0].Length);
        var matrix = new float[rows * columns];
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < columns; column++)
            {
                var sum = 0.0;
                for (var i = 0; i < values.Length; i++)
                {
                    sum += left[i][row] * values[i] * right[i][column];
                }

                matrix[(row * columns) + column] = (float)sum;
            }
        }

        return matrix;
    }
}
