// Shapes: T rows, D width, I feed-forward width, V vocabulary, R rank.
using DistTune.Core.Models;
using DistTune.Modeling.Decoders;

namespace DistTune.Modeling.Kernels;

/// <summary>The kernels in plain torch operations: the oracle that faster ones are compared with, and the way on CUDA.</summary>
internal sealed class TorchKernels : IKernels
{
    // Elements that are held in double at a time: 8 MB.
    private const long WideElements = 1 << 20;

    /// <inheritdoc/>
    public (Tensor Y, Tensor Reciprocal) RmsNorm(Tensor x, Tensor weight, NormSpec norm)
    {
        using var scope = torch.NewDisposeScope();
        var wide = Precision.Wide(x);
        var reciprocal = wide.square().mean([-1], keepdim: true).add_(norm.Epsilon).rsqrt();
        var normed = wide.mul(reciprocal);
        // As in the reference implementations: with the plain gain a narrower type is rounded before the product, otherwise after it.
        var y = Precision.IsWide(x) || norm.OnePlusWeight ? normed.mul_(Gain(weight, normed, norm)).to(x.dtype) : normed.to(x.dtype).mul_(weight);
        return (y.MoveToOuterDisposeScope(), reciprocal.MoveToOuterDisposeScope());
    }

    /// <inheritdoc/>
    public (Tensor? X, Tensor? Weight) RmsNormBackward(
        Tensor gradient,
        Tensor x,
        Tensor weight,
        Tensor reciprocal,
        NormSpec norm,
        bool inputGradient,
        bool weightGradient)
    {
        using var scope = torch.NewDisposeScope();
        var g = Precision.Wide(gradient);
        var normed = Precision.Wide(x).mul(reciprocal);
        var weightResult = weightGradient ? g.mul(normed).reshape(-1, weight.shape[0]).sum(dim: 0) : null;
        Tensor? result = null;
        if (inputGradient)
        {
            var scaled = g.mul(Gain(weight, g, norm));
            var projected = scaled.mul(normed).mean([-1], keepdim: true);
            result = scaled.addcmul_(normed, projected, -1).mul_(reciprocal).to(x.dtype);
        }

        return (result?.MoveToOuterDisposeScope(), weightResult?.MoveToOuterDisposeScope());
    }

    /// <inheritdoc/>
    public void Rotate(Tensor heads, Tensor cosine, Tensor sine, bool inverse)
    {
        using var scope = torch.NewDisposeScope();
        var pairs = cosine.shape[2];
        var cos = cosine.to(heads.dtype);
        var sin = sine.to(heads.dtype);
        var first = heads.narrow(2, 0, pairs);
        var second = heads.narrow(2, pairs, pairs);
        var sign = inverse ? -1.0 : 1.0;
        var newFirst = first.mul(cos).addcmul_(second, sin, -sign);
        var newSecond = second.mul(cos).addcmul_(first, sin, sign);
        first.copy_(newFirst);
        second.copy_(newSecond);
    }

    /// <inheritdoc/>
    public Tensor Attention(Tensor queries, Tensor keys, Tensor values, AttentionShape shape, ReadOnlySpan<AttentionSpan> spans) =>
        TorchAttention.Forward(queries, keys, values, shape, spans);

    /// <inheritdoc/>
    public void AttentionBackward(
        Tensor gradient,
        Tensor queries,
        Tensor keys,
        Tensor values,
        AttentionShape shape,
        ReadOnlySpan<AttentionSpan> spans,
        (Tensor Queries, Tensor Keys, Tensor Values) into) =>
        TorchAttention.Backward(gradient, queries, keys, values, shape, spans, into);

    /// <inheritdoc/>
    public Tensor GatedActivation(Tensor gateUp, Activation activation)
    {
        using var scope = torch.NewDisposeScope();
        var (gate, up) = Halves(gateUp);
        return TorchActivation.Apply(gate, activation).mul_(up).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public Tensor GatedActivationBackward(Tensor gradient, Tensor gateUp, Activation activation)
    {
        using var scope = torch.NewDisposeScope();
        var (gate, up) = Halves(gateUp);
        var result = torch.empty(gateUp.shape, dtype: gateUp.dtype, device: gateUp.device);
        var (gateResult, upResult) = Halves(result);
        var (value, slope) = TorchActivation.WithSlope(gate, activation);
        upResult.copy_(value.mul_(gradient));
        gateResult.copy_(slope.mul_(up).mul_(gradient));
        return result.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public (Tensor Y, LinearTrace? Trace) Linear(Tensor x, Projection projection, Tensor? residual, LoraDropout? dropout = null) =>
        TorchLinear.Forward(x, projection, residual, dropout);

    /// <inheritdoc/>
    public LinearTrace? LinearTrace(Tensor x, Projection projection, LoraDropout? dropout = null) => TorchLinear.Trace(x, projection, dropout);

    /// <inheritdoc/>
    public Tensor? LinearBackward(
        Tensor gradient,
        Projection projection,
        Tensor? x,
        LinearTrace? trace,
        bool inputGradient,
        IParameterGradients gradients,
        LoraDropout? dropout = null) => TorchLinear.Backward(gradient, projection, x, trace, inputGradient, gradients, dropout);

    /// <inheritdoc/>
    public Tensor CrossEntropy(Tensor logits, Tensor targets, double labelSmoothing, bool gradient)
    {
        using var scope = torch.NewDisposeScope();
        var classes = logits.shape[1];
        var index = targets.unsqueeze(1);
        // Everything happens in place and the few numbers a row comes down to are kept in double.
        logits.sub_(logits.amax(1).unsqueeze(1));
        var wanted = logits.gather(1, index).to(ScalarType.Float64);
        var average = labelSmoothing == 0 ? null : RowSums(logits).div_(classes);
        var total = RowSums(logits.exp_());
        var loss = total.log();
        loss.sub_(average is null ? wanted : wanted.mul_(1 - labelSmoothing).add_(average, labelSmoothing));
        if (gradient)
        {
            logits.mul_(total.reciprocal().to(logits.dtype));
            var ones = torch.ones([targets.shape[0], 1], dtype: logits.dtype, device: logits.device);
            logits.scatter_add_(1, index, ones.mul_(-(1 - labelSmoothing)));
            if (labelSmoothing != 0)
            {
                logits.sub_(labelSmoothing / classes);
            }
        }

        return loss.view(-1).MoveToOuterDisposeScope();
    }

    // Sums over the classes in double [T, 1]. libtorch makes a wide copy of what it sums, so it is given a few rows at a time.
    private static Tensor RowSums(Tensor logits)
    {
        var (rows, classes) = (logits.shape[0], logits.shape[1]);
        var sums = torch.empty([rows, 1], dtype: ScalarType.Float64, device: logits.device);
        var step = Math.Max(1, WideElements / classes);
        for (long row = 0; row < rows; row += step)
        {
            using var scope = torch.NewDisposeScope();
            var count = Math.Min(step, rows - row);
            sums.narrow(0, row, count).copy_(logits.narrow(0, row, count).sum(1, keepdim: true, ScalarType.Float64));
        }

        return sums;
    }

    private static Tensor Gain(Tensor weight, Tensor like, NormSpec norm) => norm.OnePlusWeight ? weight.to(like.dtype).add(1) : weight;

    private static (Tensor Gate, Tensor Up) Halves(Tensor gateUp)
    {
        var width = gateUp.shape[1] / 2;
        return (gateUp.narrow(1, 0, width), gateUp.narrow(1, width, width));
    }
}
