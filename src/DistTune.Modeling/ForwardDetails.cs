// Shapes: T rows (all segments), D width, V vocabulary.
using System.Collections.Immutable;
using DistTune.Core.Training;
using DistTune.Modeling.Batches;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Gradients;

namespace DistTune.Modeling;

/// <summary>Everything a forward pass computes at every position, row-major; for comparing implementations, not for training.</summary>
/// <param name="Hidden">The first layer's input, then each layer's output [T, D].</param>
/// <param name="Normed">After the last norm [T, D].</param>
/// <param name="Logits">[T, V].</param>
public sealed record ForwardDetails(ImmutableArray<float[]> Hidden, float[] Normed, float[] Logits)
{
    /// <summary>Runs the frozen base over the segments.</summary>
    public static ForwardDetails Compute(BaseModel model, IReadOnlyList<Segment> segments)
    {
        ArgumentNullException.ThrowIfNull(model);
        return Compute(model, model.Modules, segments);
    }

    /// <summary>Runs modules, with or without an adapter, over the segments.</summary>
    internal static ForwardDetails Compute(BaseModel model, DecoderModules modules, IReadOnlyList<Segment> segments)
    {
        using var scope = torch.NewDisposeScope();
        using var rows = PackedRows.OfSegments(segments, model);
        var decoder = new Decoder(model.Spec, modules, model.ComputeType);
        var operations = new Operations(model.Kernels, NoGradients.Instance, tape: null);
        var hidden = ImmutableArray.CreateBuilder<float[]>(model.Spec.LayerCount + 1);
        var x = new Node(decoder.Embed(rows), needsGradient: false);
        hidden.Add(HostMemory.Download(x.Value));
        for (var layer = 0; layer < model.Spec.LayerCount; layer++)
        {
            using var input = x;
            x = decoder.Layer(operations, layer, input, rows, decoder.WithinSegments(rows));
            hidden.Add(HostMemory.Download(x.Value));
        }

        using var last = x;
        using var normed = decoder.FinalNorm(operations, last);
        using var logits = decoder.Logits(operations, normed);
        return new ForwardDetails(hidden.MoveToImmutable(), HostMemory.Download(normed.Value), HostMemory.Download(logits.Value));
    }
}
