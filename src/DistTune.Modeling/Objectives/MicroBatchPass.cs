// Shapes: T rows, D width, R rows that predict a trained token.
using System.Diagnostics;
using DistTune.Core.Training;
using DistTune.Modeling.Batches;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Gradients;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Objectives;

/// <summary>
/// Forward and backward of one micro-batch, layer by layer. With checkpointing only the layers' inputs are kept and each layer is
/// computed again for its derivative; without, every layer's tape is kept. Both do the same arithmetic, so gradients are equal bit
/// for bit. Layers below the first trained one have no backward at all.
/// </summary>
internal sealed class MicroBatchPass(BaseModel model, DecoderModules modules, PassSettings settings, Action progress, CancellationToken cancellationToken)
{
    private readonly IKernels _kernels = model.Kernels;
    private readonly Decoder _decoder = new(model.Spec, modules, model.ComputeType);
    private readonly TokenLoss _loss = new(model.Kernels, model.Spec.LogitSoftCap);
    private LoraDropout? _dropout;

    /// <summary>Seconds of all forward passes so far.</summary>
    public double ForwardSeconds { get; private set; }

    /// <summary>Seconds of all backward passes so far.</summary>
    public double BackwardSeconds { get; private set; }

    private int LayerCount => modules.Layers.Length;

    /// <summary>The loss sum alone.</summary>
    public double Evaluate(MicroBatch batch)
    {
        using var scope = torch.NewDisposeScope();
        using var targets = Targets.OfSegments(batch.Segments, model.Device);
        if (targets.Count == 0)
        {
            return 0;
        }

        var started = Stopwatch.GetTimestamp();
        using var rows = PackedRows.OfSegments(batch.Segments, model);
        var operations = new Operations(_kernels, NoGradients.Instance, tape: null);
        var x = new Node(_decoder.Embed(rows), needsGradient: false);
        for (var layer = 0; layer < LayerCount; layer++)
        {
            x = Advance(operations, layer, x, rows, targets);
        }

        using var last = x;
        using var normed = _decoder.FinalNorm(operations, last);
        var (sum, _) = _loss.Compute(normed.Value, modules.Head, targets, gradients: null);
        ForwardSeconds += Stopwatch.GetElapsedTime(started).TotalSeconds;
        return sum;
    }

    /// <summary>The loss sum; gradients go to <paramref name="collector"/>.</summary>
    /// <param name="batch">The segments.</param>
    /// <param name="collector">Takes the gradients.</param>
    /// <param name="dropout">Drops inputs of adapters; null drops none.</param>
    /// <param name="flush">Whether this is the group's last micro-batch, so that finished layers are handed on.</param>
    public double Train(MicroBatch batch, GradientCollector collector, LoraDropout? dropout, bool flush)
    {
        using var scope = torch.NewDisposeScope();
        using var targets = Targets.OfSegments(batch.Segments, model.Device);
        _dropout = dropout;
        var sum = 0.0;
        if (targets.Count > 0)
        {
            using var rows = PackedRows.OfSegments(batch.Segments, model);
            using var run = new LayerTapes(LayerCount);
            sum = Train(rows, targets, collector, flush, run);
        }

        if (flush)
        {
            FlushDownFrom(targets.Count > 0 ? modules.FirstTrainedLayer - 1 : LayerCount, collector);
        }

        return sum;
    }

    private static Tensor TakeGradient(Node node) =>
        node.TakeGradient() ?? throw new UnreachableException("A recorded layer left no gradient at its input.");

    private double Train(PackedRows rows, Targets targets, GradientCollector collector, bool flush, LayerTapes run)
    {
        var started = Stopwatch.GetTimestamp();
        using var x = Forward(rows, targets, collector, run);
        var (sum, gradient) = Loss(x, targets, collector);
        if (flush)
        {
            collector.Flush(LayerCount);
        }

        ForwardSeconds += Stopwatch.GetElapsedTime(started).TotalSeconds;
        started = Stopwatch.GetTimestamp();
        Backward(rows, targets, collector, flush, run, gradient);
        BackwardSeconds += Stopwatch.GetElapsedTime(started).TotalSeconds;
        return sum;
    }

    // 1. Forward: keep the inputs of the layers that have a backward, and their tapes where they are not computed again.
    private Node Forward(PackedRows rows, Targets targets, GradientCollector collector, LayerTapes run)
    {
        var first = modules.FirstTrainedLayer;
        var x = new Node(_decoder.Embed(rows), needsGradient: modules.TrainsEmbedding);
        for (var layer = 0; layer < LayerCount; layer++)
        {
            if (layer < first)
            {
                x = Advance(Recording(collector, tape: null), layer, x, rows, targets);
                continue;
            }

            cancellationToken.ThrowIfCancellationRequested();
            // The last layer's backward comes next, so computing it again would gain nothing.
            var tape = settings.GradientCheckpointing && layer < LayerCount - 1 ? null : new Tape();
            run.Keep(layer, x, tape);
            var y = Compute(Recording(collector, tape), layer, x, rows, targets);
            if (tape is null)
            {
                // Nothing was recorded, but the layer above needs to hand its gradient down.
                y = new Node(y.Value, needsGradient: true);
            }
            else
            {
                run.KeepOutput(layer, y.Hold());
            }

            x = y;
            progress();
        }

        return x;
    }

    // 2. Loss, and the gradient at the last layer's output. Null if nothing below the head is trained.
    private (double Sum, Tensor? Gradient) Loss(Node x, Targets targets, GradientCollector collector)
    {
        using var tape = new Tape();
        using var normed = _decoder.FinalNorm(Recording(collector, tape), x);
        var (sum, gradient) = _loss.Compute(normed.Value, modules.Head, targets, collector, settings.LabelSmoothing, _dropout);
        if (!normed.NeedsGradient)
        {
            gradient?.Dispose();
            return (sum, null);
        }

        tape.Backward(normed, gradient!);
        return (sum, x.TakeGradient());
    }

    // 3. Backward: layer by layer from the last, each layer's gradients handed on as soon as they are final.
    private void Backward(PackedRows rows, Targets targets, GradientCollector collector, bool flush, LayerTapes run, Tensor? gradient)
    {
        for (var layer = LayerCount - 1; layer >= modules.FirstTrainedLayer && gradient is not null; layer--)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var (input, tape, output) = run.Take(layer);
            using (input)
            {
                if (tape is null)
                {
                    tape = new Tape();
                    output = Compute(Recording(collector, tape), layer, input, rows, targets, readsOutput: false);
                }

                using (tape)
                using (output)
                {
                    tape.Backward(output!, gradient);
                }

                gradient = input.NeedsGradient ? TakeGradient(input) : null;
            }

            if (flush)
            {
                collector.Flush(layer);
            }

            progress();
        }

        if (gradient is not null && modules.TrainsEmbedding)
        {
            EmbeddingRows.Backward(modules, rows.Ids, gradient, model.Spec.EmbeddingScale, collector);
        }
    }

    private Operations Recording(GradientCollector collector, Tape? tape) => new(_kernels, collector, tape, _dropout);

    private Node Compute(Operations operations, int layer, Node x, PackedRows rows, Targets targets, bool readsOutput = true)
    {
        // Only the rows that predict a trained token matter after the last attention.
        var select = layer == LayerCount - 1 && targets.Count < x.Value.shape[0] ? targets.Rows : null;
        return _decoder.Layer(operations, layer, x, rows, _decoder.WithinSegments(rows), select, readsOutput);
    }

    private Node Advance(Operations operations, int layer, Node x, PackedRows rows, Targets targets)
    {
        cancellationToken.ThrowIfCancellationRequested();
        using (x)
        {
            var y = Compute(operations, layer, x, rows, targets);
            progress();
            return y;
        }
    }

    // What no backward pass reached.
    private static void FlushDownFrom(int layer, GradientCollector collector)
    {
        for (; layer >= -1; layer--)
        {
            collector.Flush(layer);
        }
    }
}
