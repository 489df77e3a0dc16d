using DistTune.Core.Training;

namespace DistTune.Core.Numerics;

/// <summary>
/// The largest singular triplets of a large matrix by Golub and Kahan's bidiagonalisation (1965) with full reorthogonalisation. It stops
/// when the residual of every wanted triplet is below a bound, and at the latest when the decomposition is complete.
/// </summary>
internal sealed class LanczosDecomposition
{
    private const double ResidualBound = 1e-11;
    private const double Vanished = 1e-14;
    private const int Ahead = 16;
    private const int Block = 512;
    private static readonly ulong Stream = CounterRandom.Stream("singular values");

    private readonly float[] _matrix;
    private readonly int _rows;
    private readonly int _columns;
    private readonly List<double[]> _left = [];
    private readonly List<double[]> _right = [];
    private readonly List<double> _diagonal = [];
    private readonly List<double> _above = [];
    private ulong _drawn;

    private LanczosDecomposition(float[] matrix, int rows, int columns) => (_matrix, _rows, _columns) = (matrix, rows, columns);

    // The matrix stands upright here: one that is wider than high is worked on as its transpose.
    private bool Wide => _columns > _rows;

    private int Shorter => Math.Min(_rows, _columns);

    /// <summary>The largest triplets.</summary>
    public static SingularTriplets Decompose(float[] matrix, int rows, int columns, int count)
    {
        var upright = new LanczosDecomposition(matrix, rows, columns).Run(count);
        return columns > rows ? new SingularTriplets(upright.Values, upright.Right, upright.Left) : upright;
    }

    private SingularTriplets Run(int count)
    {
        var most = Shorter;
        var next = Math.Min(most, (2 * count) + Ahead);
        _right.Add(Fresh(most, []));
        while (true)
        {
            var remainder = Extend(next);
            var (values, x, y) = Projected();
            var settled = Enumerable.Range(0, count).All(i => remainder * Math.Abs(x[i][^1]) <= ResidualBound * Math.Max(values[0], double.Epsilon));
            if (settled || _left.Count == most)
            {
                return new SingularTriplets(values[..count], Combine(_left, x, count), Combine(_right, y, count));
            }

            next = Math.Min(most, next + (next / 2));
        }
    }

    /// <summary>Goes on to so many steps; gives the length of what the last one leaves outside.</summary>
    private double Extend(int steps)
    {
        while (true)
        {
            var step = _left.Count;
            var left = Wide ? TransposeTimes(_right[step]) : Times(_right[step]);
            if (step > 0)
            {
                FixedOrder.AddScaled(left, _left[step - 1], -_above[step - 1]);
            }

            _diagonal.Add(Orthonormal(left, _left));
            var right = Wide ? Times(_left[step]) : TransposeTimes(_left[step]);
            FixedOrder.AddScaled(right, _right[step], -_diagonal[step]);
            if (_left.Count == Shorter)
            {
                // The right vectors span everything: nothing is outside.
                return 0;
            }

            _above.Add(Orthonormal(right, _right));
            if (_left.Count == steps)
            {
                // The last right vector is outside of what has been decomposed; the next call begins with it.
                return _above[^1];
            }
        }
    }

    /// <summary>Takes out what the vectors so far hold, makes the rest a unit vector, and adds it. A rest that is nothing gives way to a new direction.</summary>
    private double Orthonormal(double[] vector, List<double[]> basis)
    {
        var before = FixedOrder.Length(vector);
        Project(vector, basis);
        var length = FixedOrder.Length(vector);
        if (length <= Vanished * Math.Max(Largest(), before))
        {
            basis.Add(Fresh(vector.Length, basis));
            return 0;
        }

        FixedOrder.Scale(vector, 1 / length);
        basis.Add(vector);
        return length;
    }

    private double Largest() => _diagonal.Count == 0 ? 0 : _diagonal.Max();

    private double[] Fresh(int length, List<double[]> basis)
    {
        var vector = new double[length];
        for (var i = 0; i < length; i++)
        {
            vector[i] = CounterRandom.Normal(0, Stream, _drawn++);
        }

        FixedOrder.Scale(vector, 1 / FixedOrder.Length(vector));
        Project(vector, basis);
        FixedOrder.Scale(vector, 1 / FixedOrder.Length(vector));
        return vector;
    }

    // Twice is enough (Kahan; Parlett 1980).
    private static void Project(double[] vector, List<double[]> basis)
    {
        for (var pass = 0; pass < 2; pass++)
        {
            foreach (var direction in basis)
            {
                FixedOrder.AddScaled(vector, direction, -FixedOrder.Dot(direction, vector));
            }
        }
    }

    /// <summary>The triplets of the bidiagonal matrix: values, vectors on the left (by rows), vectors on the right (by columns).</summary>
    private (double[] Values, double[][] X, double[][] Y) Projected()
    {
        var size = _left.Count;
        var columns = new double[size][];
        for (var column = 0; column < size; column++)
        {
            columns[column] = new double[size];
            columns[column][column] = _diagonal[column];
            if (column > 0)
            {
                columns[column][column - 1] = _above[column - 1];
            }
        }

        return JacobiDecomposition.Decompose(columns);
    }

    private static double[][] Combine(List<double[]> basis, double[][] weights, int count)
    {
        var result = new double[count][];
        for (var i = 0; i < count; i++)
        {
            result[i] = new double[basis[0].Length];
            for (var k = 0; k < weights[i].Length; k++)
            {
                FixedOrder.AddScaled(result[i], basis[k], weights[i][k]);
            }
        }

        return result;
    }

    private double[] Times(double[] x)
    {
        var result = new double[_rows];
        Parallel.For(0, _rows, row => result[row] = FixedOrder.Dot(_matrix.AsSpan(row * _columns, _columns), x));
        return result;
    }

    private double[] TransposeTimes(double[] x)
    {
        var result = new double[_columns];
        Parallel.For(0, (_columns + Block - 1) / Block, block =>
        {
            var start = block * Block;
            var part = result.AsSpan(start, Math.Min(Block, _columns - start));
            for (var row = 0; row < _rows; row++)
            {
                FixedOrder.AddScaled(part, _matrix.AsSpan((row * _columns) + start, part.Length), x[row]);
            }
        });
        return result;
    }
}
