// Shapes: R rows that predict a trained token, C rows of a chunk, D width, V vocabulary.
using DistTune.Modeling.Batches;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Objectives;

/// <summary>
/// Summed negative log-likelihood of the trained tokens. Forward and backward run chunk by chunk, so that logits of only a chunk of
/// rows exist at a time, and of rows without a trained token never.
/// </summary>
/// <param name="kernels">The arithmetic.</param>
/// <param name="softCap">c of logits c * tanh(logit / c); null leaves them.</param>
internal sealed class TokenLoss(IKernels kernels, double? softCap)
{
    private const long ChunkLogits = 1 << 24;

    /// <summary>Computes the loss and, if asked for, its gradient.</summary>
    /// <param name="normed">The predicting rows after the last norm [R, D].</param>
    /// <param name="head">The output head.</param>
    /// <param name="targets">What they predict.</param>
    /// <param name="gradients">Takes gradients of the head, where it is trained; null for the loss alone.</param>
    /// <param name="labelSmoothing">Share of the loss that is spread over the vocabulary.</param>
    /// <param name="dropout">Drops inputs of an adapter on the head; null drops none.</param>
    /// <returns>The loss sum, and its gradient with respect to <paramref name="normed"/> if asked for.</returns>
    public (double Sum, Tensor? Gradient) Compute(Tensor normed, Projection head, Targets targets, IParameterGradients? gradients, double labelSmoothing = 0, LoraDropout? dropout = null)
    {
        using var scope = torch.NewDisposeScope();
        var wide = head with { Weight = head.Weight.ForProductsWith(normed.dtype) };
        var result = gradients is null ? null : torch.empty(normed.shape, dtype: normed.dtype, device: normed.device);
        var chunk = Math.Max(1, ChunkLogits / head.Weight.Rows);
        double sum = 0;
        for (long start = 0; start < targets.Count; start += chunk)
        {
            using var chunkScope = torch.NewDisposeScope();
            var count = Math.Min(chunk, targets.Count - start);
            var rows = normed.narrow(0, start, count);
            var chunkDropout = dropout?.Predicting(start, count);
            var (output, trace) = kernels.Linear(rows, wide, residual: null, chunkDropout);
            var (logits, capped) = softCap is { } cap ? SoftCap.Forward(Precision.Wide(output), cap) : (Precision.Wide(output), null);
            var losses = kernels.CrossEntropy(logits, targets.Tokens.narrow(0, start, count), labelSmoothing, gradient: gradients is not null);
            sum += HostMemory.Doubles(losses).Sum();
            if (gradients is not null)
            {
                if (capped is not null)
                {
                    SoftCap.Backward(logits, capped);
                }

                var gradient = kernels.LinearBackward(logits.to(normed.dtype), wide, rows, trace, inputGradient: true, gradients, chunkDropout);
                result!.narrow(0, start, count).copy_(gradient!);
            }
        }

        return (sum, result?.MoveToOuterDisposeScope());
    }
}
