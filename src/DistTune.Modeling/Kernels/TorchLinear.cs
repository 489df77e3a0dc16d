// Shapes: T rows, in and out features, R rank.
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Kernels;

/// <summary>The linear map with its adapter in plain torch operations.</summary>
internal static class TorchLinear
{
    /// <summary>See <see cref="IKernels.Linear"/>.</summary>
    public static (Tensor Y, LinearTrace? Trace) Forward(Tensor x, Projection projection, Tensor? residual, LoraDropout? dropout)
    {
        using var scope = torch.NewDisposeScope();
        var bias = projection.Bias is null ? null : Precision.Alike(projection.Bias, x);
        if (projection.Lora is not { } lora)
        {
            return (Add(projection.Weight.Multiply(x, residual ?? bias), residual is null ? null : bias).MoveToOuterDisposeScope(), null);
        }

        var reduced = Reduce(x, lora, dropout);
        if (projection.Dora is not { } dora)
        {
            var y = Add(projection.Weight.Multiply(x, residual ?? bias), residual is null ? null : bias);
            AddLora(y, lora, reduced);
            return (y.MoveToOuterDisposeScope(), new LinearTrace(reduced.MoveToOuterDisposeScope(), null));
        }

        // The rows are scaled before bias and residual come in.
        var whole = dropout is null ? null : projection.Weight.Multiply(x);
        var unscaled = Unscaled(x, projection, reduced, dropout, whole);
        var scaled = Add(Add(whole ?? unscaled.mul(Precision.Alike(dora.Factors, unscaled)), bias), residual);
        return (scaled.MoveToOuterDisposeScope(), new LinearTrace(reduced.MoveToOuterDisposeScope(), unscaled.MoveToOuterDisposeScope()));
    }

    /// <summary>See <see cref="IKernels.LinearTrace"/>.</summary>
    public static LinearTrace? Trace(Tensor x, Projection projection, LoraDropout? dropout)
    {
        if (projection.Lora is not { } lora)
        {
            return null;
        }

        using var scope = torch.NewDisposeScope();
        var reduced = Reduce(x, lora, dropout);
        var unscaled = projection.Dora is null ? null : Unscaled(x, projection, reduced, dropout, null);
        return new LinearTrace(reduced.MoveToOuterDisposeScope(), unscaled?.MoveToOuterDisposeScope());
    }

    /// <summary>See <see cref="IKernels.LinearBackward"/>.</summary>
    public static Tensor? Backward(
        Tensor gradient,
        Projection projection,
        Tensor? x,
        LinearTrace? trace,
        bool inputGradient,
        IParameterGradients gradients,
        LoraDropout? dropout)
    {
        using var scope = torch.NewDisposeScope();
        AddTrained(gradient, projection, x, gradients);
        var scaled = gradient;
        if (projection.Dora is { } dora)
        {
            AddMagnitudes(gradient, dora, trace!.Unscaled!, gradients);
            // A row's length is a constant to the derivative.
            scaled = gradient.mul(Precision.Alike(dora.Factors, gradient));
        }

        // What is not dropped is not scaled either.
        var result = inputGradient ? projection.Weight.MultiplyTransposed(dropout is null ? scaled : gradient) : null;
        if (projection.Lora is { } lora)
        {
            var reducedGradient = AddFactors(Precision.Wide(scaled), lora, trace!.Reduced, Precision.Wide(x!), gradients, dropout);
            result = AddInputGradient(result, reducedGradient, gradient, projection, dropout);
        }

        return result?.MoveToOuterDisposeScope();
    }

    private static Tensor Add(Tensor y, Tensor? added) => added is null ? y : y.add_(added);

    // W x + s B A x; with dropout, that of what is left of x, and y is completed.
    private static Tensor Unscaled(Tensor x, Projection projection, Tensor reduced, LoraDropout? dropout, Tensor? y)
    {
        if (dropout is not null)
        {
            return DroppedDora.Unscaled(x, projection, reduced, dropout, y);
        }

        var unscaled = projection.Weight.Multiply(x);
        AddLora(unscaled, projection.Lora!, reduced);
        return unscaled;
    }

    private static Tensor Reduce(Tensor x, LoraFactors lora, LoraDropout? dropout)
    {
        var wide = Precision.Wide(x);
        if (dropout is null)
        {
            return wide.mm(Precision.Alike(lora.StackedA, wide).t());
        }

        // Each module drops inputs of its own, so that one product cannot serve all.
        var reduced = torch.empty([wide.shape[0], lora.StackedA.shape[0]], dtype: wide.dtype, device: wide.device);
        foreach (var part in lora.Parts)
        {
            using var partScope = torch.NewDisposeScope();
            var down = Precision.Alike(lora.StackedA.narrow(0, part.RankOffset, part.Rank), wide);
            reduced.narrow(1, part.RankOffset, part.Rank).copy_(dropout.Apply(wide, part.DropoutStream).mm(down.t()));
        }

        return reduced;
    }

    private static void AddLora(Tensor y, LoraFactors lora, Tensor reduced)
    {
        foreach (var part in lora.Parts)
        {
            var rows = y.narrow(1, part.Row, part.Rows);
            var low = reduced.narrow(1, part.RankOffset, part.Rank);
            var up = Precision.Alike(part.B, low).t();
            if (Precision.IsWide(y))
            {
                rows.addmm_(low, up, 1, part.Scale);
            }
            else
            {
                rows.add_(low.mm(up), part.Scale);
            }

            if (part.Bias is { } bias)
            {
                rows.add_(Precision.Alike(bias.Value, rows), part.Scale);
            }
        }
    }

    // Gradients of the factors; returns that of x A^T.
    private static Tensor AddFactors(Tensor gradient, LoraFactors lora, Tensor reduced, Tensor x, IParameterGradients gradients, LoraDropout? dropout)
    {
        var reducedGradient = torch.empty(reduced.shape, dtype: reduced.dtype, device: reduced.device);
        foreach (var part in lora.Parts)
        {
            var rows = gradient.narrow(1, part.Row, part.Rows);
            var low = reduced.narrow(1, part.RankOffset, part.Rank);
            gradients.Add(part.EntryB, rows.t().mm(low).mul_(part.Scale));
            if (part.Bias is { } bias)
            {
                gradients.Add(bias.Entry, rows.sum(dim: 0).mul_(part.Scale));
            }

            reducedGradient.narrow(1, part.RankOffset, part.Rank).copy_(rows.mm(Precision.Alike(part.B, rows)).mul_(part.Scale));
        }

        var stacked = dropout is null ? reducedGradient.t().mm(x) : null;
        foreach (var part in lora.Parts)
        {
            gradients.Add(
                part.EntryA,
                stacked?.narrow(0, part.RankOffset, part.Rank) ?? reducedGradient.narrow(1, part.RankOffset, part.Rank).t().mm(dropout!.Apply(x, part.DropoutStream)));
        }

        return reducedGradient;
    }

    private static Tensor? AddInputGradient(Tensor? result, Tensor reducedGradient, Tensor gradient, Projection projection, LoraDropout? dropout)
    {
        if (result is null)
        {
            return null;
        }

        var lora = projection.Lora!;
        var down = Precision.Alike(lora.StackedA, reducedGradient);
        if (dropout is null)
        {
            return Precision.IsWide(result) ? result.addmm_(reducedGradient, down) : result.add_(reducedGradient.mm(down));
        }

        foreach (var part in lora.Parts)
        {
            using var partScope = torch.NewDisposeScope();
            var product = reducedGradient.narrow(1, part.RankOffset, part.Rank).mm(down.narrow(0, part.RankOffset, part.Rank));
            if (projection.Dora is not null)
            {
                product.add_(DroppedDora.InputGradient(gradient, projection, part));
            }

            result.add_(dropout.Apply(product, part.DropoutStream));
        }

        return result;
    }

    private static void AddMagnitudes(Tensor gradient, RowScales dora, Tensor unscaled, IParameterGradients gradients)
    {
        var all = Precision.Wide(gradient).mul(Precision.Wide(unscaled)).sum(dim: 0).div_(dora.Lengths);
        foreach (var part in dora.Magnitudes)
        {
            gradients.Add(part.Entry, all.narrow(0, part.Row, part.Rows));
        }
    }

    private static void AddTrained(Tensor gradient, Projection projection, Tensor? x, IParameterGradients gradients)
    {
        if (!projection.TrainedWeight.IsEmpty)
        {
            var weight = Precision.Wide(gradient).t().mm(Precision.Wide(x!));
            foreach (var part in projection.TrainedWeight)
            {
                gradients.Add(part.Entry, weight.narrow(0, part.Row, part.Rows));
            }
        }

        if (!projection.TrainedBias.IsEmpty)
        {
            var bias = Precision.Wide(gradient).sum(dim: 0);
            foreach (var part in projection.TrainedBias)
            {
                gradients.Add(part.Entry, bias.narrow(0, part.Row, part.Rows));
            }
        }
    }
}
