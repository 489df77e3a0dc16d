// Shapes: T rows of x, in and out features.
using System.Collections.Immutable;
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Quantization;

/// <summary>Matrices with the same input, one below the other, each stored in its own way.</summary>
/// <param name="parts">The matrices, in order.</param>
internal sealed class StackedMatrix(ImmutableArray<FrozenMatrix> parts) : BlockedMatrix
{
    /// <inheritdoc/>
    public override long Rows => parts.Sum(part => part.Rows);

    /// <inheritdoc/>
    public override long Columns => parts[0].Columns;

    /// <inheritdoc/>
    public override void AddProduct(Tensor x, Tensor y)
    {
        long row = 0;
        foreach (var part in parts)
        {
            using var scope = torch.NewDisposeScope();
            part.AddProduct(x, y.narrow(1, row, part.Rows));
            row += part.Rows;
        }
    }

    /// <inheritdoc/>
    public override void AddTransposedProduct(Tensor gradient, Tensor result)
    {
        long row = 0;
        foreach (var part in parts)
        {
            using var scope = torch.NewDisposeScope();
            part.AddTransposedProduct(gradient.narrow(1, row, part.Rows), result);
            row += part.Rows;
        }
    }

    /// <inheritdoc/>
    public override Tensor RowBlock(long row, long rows, ScalarType type)
    {
        using var scope = torch.NewDisposeScope();
        var pieces = new List<Tensor>();
        long first = 0;
        foreach (var part in parts)
        {
            var (from, to) = (Math.Max(row, first), Math.Min(row + rows, first + part.Rows));
            if (from < to)
            {
                pieces.Add(part.RowBlock(from - first, to - from, type));
            }

            first += part.Rows;
        }

        return (pieces.Count == 1 ? pieces[0] : torch.cat(pieces)).MoveToOuterDisposeScope();
    }
}
