// Shapes: T rows of x, in and out features.
namespace DistTune.Modeling.Decoders;

/// <summary>
/// The matrix W [out, in] of a projection, however it is stored. It is read by any number of lanes at once and never written; what it
/// returns is new (or a view) and the caller's to free.
/// </summary>
internal abstract class FrozenMatrix
{
    // How much of W a product of some of its rows reads at a time.
    private const long BlockRows = 1024;

    /// <summary>Output features.</summary>
    public abstract long Rows { get; }

    /// <summary>Input features.</summary>
    public abstract long Columns { get; }

    /// <summary>x W^T, plus <paramref name="added"/>.</summary>
    /// <param name="x">[T, in].</param>
    /// <param name="added">[T, out] or [out], or null for nothing.</param>
    /// <returns>[T, out], in the type of x.</returns>
    public abstract Tensor Multiply(Tensor x, Tensor? added = null);

    /// <summary>g W: the gradient of x where g is that of x W^T.</summary>
    /// <param name="gradient">[T, out].</param>
    /// <returns>[T, in], in the type of the gradient.</returns>
    public abstract Tensor MultiplyTransposed(Tensor gradient);

    /// <summary>Adds x W^T to what is there.</summary>
    /// <param name="x">[T, in].</param>
    /// <param name="y">[T, out], possibly a view.</param>
    public virtual void AddProduct(Tensor x, Tensor y)
    {
        using var scope = torch.NewDisposeScope();
        y.add_(Multiply(x));
    }

    /// <summary>Adds g W to what is there.</summary>
    /// <param name="gradient">[T, out], possibly a view.</param>
    /// <param name="result">[T, in].</param>
    public virtual void AddTransposedProduct(Tensor gradient, Tensor result)
    {
        using var scope = torch.NewDisposeScope();
        result.add_(MultiplyTransposed(gradient));
    }

    /// <summary>x times some rows of W, transposed.</summary>
    /// <param name="x">[T, in].</param>
    /// <param name="row">The first row.</param>
    /// <param name="rows">How many.</param>
    /// <returns>[T, <paramref name="rows"/>], in the type of x.</returns>
    public Tensor MultiplyRows(Tensor x, long row, long rows)
    {
        if (rows == Rows)
        {
            return Multiply(x);
        }

        var y = torch.empty([x.shape[0], rows], dtype: x.dtype, device: x.device);
        for (long first = 0; first < rows; first += BlockRows)
        {
            using var scope = torch.NewDisposeScope();
            var count = Math.Min(BlockRows, rows - first);
            y.narrow(1, first, count).copy_(x.mm(RowBlock(row + first, count, x.dtype).t()));
        }

        return y;
    }

    /// <summary>g times some rows of W: the gradient of x where g is that of <see cref="MultiplyRows"/>.</summary>
    /// <param name="gradient">[T, <paramref name="rows"/>].</param>
    /// <param name="row">The first row.</param>
    /// <param name="rows">How many.</param>
    /// <returns>[T, in], in the type of the gradient.</returns>
    public Tensor MultiplyRowsTransposed(Tensor gradient, long row, long rows)
    {
        if (rows == Rows)
        {
            return MultiplyTransposed(gradient);
        }

        var result = torch.zeros([gradient.shape[0], Columns], dtype: gradient.dtype, device: gradient.device);
        for (long first = 0; first < rows; first += BlockRows)
        {
            using var scope = torch.NewDisposeScope();
            var count = Math.Min(BlockRows, rows - first);
            result.add_(gradient.narrow(1, first, count).mm(RowBlock(row + first, count, gradient.dtype)));
        }

        return result;
    }

    /// <summary>Some rows of W, in the wanted type; blocks of rows are how W is read where no copy of all of it may exist.</summary>
    /// <returns>[<paramref name="rows"/>, in].</returns>
    public abstract Tensor RowBlock(long row, long rows, ScalarType type);

    /// <summary>The matrix as several products with x of one type in a row read it best. What it owns belongs to the current dispose scope.</summary>
    public abstract FrozenMatrix ForProductsWith(ScalarType type);
}

/// <summary>A matrix that is stored as it is, in fp32 or bfloat16.</summary>
/// <param name="values">[out, in]; the caller's to free.</param>
internal sealed class DenseMatrix(Tensor values) : FrozenMatrix
{
    /// <inheritdoc/>
    public override long Rows => values.shape[0];

    /// <inheritdoc/>
    public override long Columns => values.shape[1];

    /// <inheritdoc/>
    public override Tensor Multiply(Tensor x, Tensor? added = null)
    {
        using var scope = torch.NewDisposeScope();
        // It is stored once, in its own type; a wider copy lives for one product only.
        var transposed = Kernels.Precision.Alike(values, x).t();
        var product = added is null ? x.mm(transposed) : added.addmm(x, transposed);
        return product.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor MultiplyTransposed(Tensor gradient)
    {
        using var scope = torch.NewDisposeScope();
        return gradient.mm(Kernels.Precision.Alike(values, gradient)).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override Tensor RowBlock(long row, long rows, ScalarType type)
    {
        using var scope = torch.NewDisposeScope();
        return values.narrow(0, row, rows).to(type).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override FrozenMatrix ForProductsWith(ScalarType type) => new DenseMatrix(values.to(type));
}
