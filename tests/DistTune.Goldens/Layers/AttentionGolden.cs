// Shapes: B rows, T positions, H query heads, K key/value heads, d head width, D width.
using System.Collections.Immutable;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;

namespace DistTune.Goldens.Layers;

/// <summary>Grouped attention with its projections and rotary positions, causal, with padded keys hidden; forward and backward.</summary>
internal sealed class AttentionGolden : IGoldenKind
{
    private static readonly string[] Projections = ["q_proj", "k_proj", "v_proj"];

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        LayerFile.Find(folder, names => names.IsSupersetOf(["x", "cos", "sin", "keep", "y", "grad_y", "grad_x", "q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"]));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        using var scope = torch.NewDisposeScope();
        using var file = LayerFile.Open(golden.Path);
        var headDimension = (int)file.File.Shape("cos")[^1];
        var shape = new AttentionShape(
            (int)file.File.Shape("q_proj.weight")[0] / headDimension,
            (int)file.File.Shape("k_proj.weight")[0] / headDimension,
            headDimension);
        var fused = Fuse(file);
        var output = new Projection(new DenseMatrix(file.Exact("o_proj.weight")), file.Optional("o_proj.bias"), [])
        {
            TrainedWeight = [new TrainedRows(10, 0, file.File.Shape("o_proj.weight")[0])],
            TrainedBias = file.File.Has("o_proj.bias") ? [new TrainedRows(11, 0, file.File.Shape("o_proj.weight")[0])] : [],
        };
        Compare(file, fused, output, shape, meter);
        return Task.CompletedTask;
    }

    private static void Compare(LayerFile file, Projection fused, Projection outputProjection, AttentionShape shape, ErrorMeter meter)
    {
        var kernels = new TorchKernels();
        var gradients = new GradientTable();
        var spans = Spans(file.File);
        var x = file.Rows("x");
        var (qkv, _) = kernels.Linear(x, fused, residual: null);
        var (cosine, sine) = (Angles(file, "cos"), Angles(file, "sin"));
        kernels.Rotate(Heads(qkv, shape, 0, shape.Heads + shape.KeyValueHeads), cosine, sine, inverse: false);
        var (queries, keys, values) = Split(qkv, shape);
        var mixed = kernels.Attention(queries, keys, values, shape, spans.AsSpan());
        var (y, _) = kernels.Linear(mixed, outputProjection, residual: null);
        file.Compare(meter, "y", y);

        var mixedGradient = kernels.LinearBackward(file.Rows("grad_y"), outputProjection, mixed, trace: null, inputGradient: true, gradients)!;
        var qkvGradient = torch.zeros(qkv.shape, dtype: qkv.dtype, device: qkv.device);
        kernels.AttentionBackward(mixedGradient, queries, keys, values, shape, spans.AsSpan(), Split(qkvGradient, shape));
        kernels.Rotate(Heads(qkvGradient, shape, 0, shape.Heads + shape.KeyValueHeads), cosine, sine, inverse: true);
        file.Compare(meter, "grad_x", kernels.LinearBackward(qkvGradient, fused, x, trace: null, inputGradient: true, gradients)!);
        CompareWeights(file, gradients, meter);
    }

    private static void CompareWeights(LayerFile file, GradientTable gradients, ErrorMeter meter)
    {
        for (var index = 0; index < Projections.Length; index++)
        {
            file.Compare(meter, $"grad.{Projections[index]}.weight", gradients[index]);
            if (file.File.Has($"grad.{Projections[index]}.bias"))
            {
                file.Compare(meter, $"grad.{Projections[index]}.bias", gradients[Projections.Length + index]);
            }
        }

        file.Compare(meter, "grad.o_proj.weight", gradients[10]);
        if (file.File.Has("grad.o_proj.bias"))
        {
            file.Compare(meter, "grad.o_proj.bias", gradients[11]);
        }
    }

    private static Projection Fuse(LayerFile file)
    {
        var weights = ImmutableArray.CreateBuilder<TrainedRows>();
        var biases = ImmutableArray.CreateBuilder<TrainedRows>();
        var hasBias = file.File.Has("q_proj.bias");
        long row = 0;
        for (var index = 0; index < Projections.Length; index++)
        {
            var rows = file.File.Shape($"{Projections[index]}.weight")[0];
            weights.Add(new TrainedRows(index, row, rows));
            if (hasBias)
            {
                biases.Add(new TrainedRows(Projections.Length + index, row, rows));
            }

            row += rows;
        }

        var weight = torch.cat(Projections.Select(name => file.Exact($"{name}.weight")).ToArray());
        var bias = hasBias ? torch.cat(Projections.Select(name => file.Exact($"{name}.bias")).ToArray()) : null;
        return new Projection(new DenseMatrix(weight), bias, []) { TrainedWeight = weights.ToImmutable(), TrainedBias = biases.ToImmutable() };
    }

    /// <summary>Queries in a row of the mask that see the first keys, as many as the mask keeps.</summary>
    private static ImmutableArray<AttentionSpan> Spans(TensorFile file)
    {
        var shape = file.Shape("keep");
        var keep = file.Integers("keep");
        var length = (int)shape[^1];
        var spans = ImmutableArray.CreateBuilder<AttentionSpan>();
        for (var query = 0; query < keep.Length / length; query++)
        {
            var row = keep.AsSpan(query * length, length);
            var visible = row.IndexOf(0) is var end and >= 0 ? end : length;
            if (visible == 0 || row[visible..].IndexOfAnyExcept(0) >= 0 || visible > (query % length) + 1)
            {
                throw new GoldenUnsupportedException("a mask that is not causal with padding on the right");
            }

            var start = query - (query % length);
            if (visible == (query % length) + 1 && spans.Count > 0 && spans[^1] is var last && last.KeyStart == start && last.QueryCount == last.KeyCount)
            {
                spans[^1] = last with { QueryCount = visible, KeyCount = visible };
            }
            else
            {
                spans.Add(new AttentionSpan(query, 1, start, visible));
            }
        }

        return spans.ToImmutable();
    }

    // [1 or B, T, d] holds each angle twice; as [B T, 1, d / 2].
    private static Tensor Angles(LayerFile file, string name)
    {
        var angles = file.Exact(name);
        var pairs = angles.shape[2] / 2;
        var batch = file.File.Shape("x")[0];
        var each = angles.narrow(2, 0, pairs);
        var all = angles.shape[0] == batch ? each : torch.cat(Enumerable.Repeat(each, (int)batch).ToArray());
        return all.reshape(-1, 1, pairs);
    }

    private static Tensor Heads(Tensor fused, AttentionShape shape, int first, int count) =>
        fused.view(fused.shape[0], -1, shape.HeadDimension).narrow(1, first, count);

    private static (Tensor Queries, Tensor Keys, Tensor Values) Split(Tensor fused, AttentionShape shape) => (
        Heads(fused, shape, 0, shape.Heads),
        Heads(fused, shape, shape.Heads, shape.KeyValueHeads),
        Heads(fused, shape, shape.Heads + shape.KeyValueHeads, shape.KeyValueHeads));
}
