// Shapes: T rows of x, in and out features.
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Quantization;

/// <summary>A matrix whose products are added up piece by piece, because it does not exist as a whole.</summary>
internal abstract class BlockedMatrix : FrozenMatrix
{
    /// <inheritdoc/>
    public sealed override Tensor Multiply(Tensor x, Tensor? added = null)
    {
        using var scope = torch.NewDisposeScope();
        var y = torch.zeros([x.shape[0], Rows], dtype: x.dtype, device: x.device);
        if (added is not null)
        {
            y.add_(added);
        }

        AddProduct(x, y);
        return y.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public sealed override Tensor MultiplyTransposed(Tensor gradient)
    {
        using var scope = torch.NewDisposeScope();
        var result = torch.zeros([gradient.shape[0], Columns], dtype: gradient.dtype, device: gradient.device);
        AddTransposedProduct(gradient, result);
        return result.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public sealed override FrozenMatrix ForProductsWith(ScalarType type) => this;

    /// <inheritdoc/>
    public abstract override void AddProduct(Tensor x, Tensor y);

    /// <inheritdoc/>
    public abstract override void AddTransposedProduct(Tensor gradient, Tensor result);
}
