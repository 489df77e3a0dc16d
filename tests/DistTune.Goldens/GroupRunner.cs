using System.Collections.Immutable;
using DistTune.Core.Training;
using DistTune.Modeling;

namespace DistTune.Goldens;

/// <summary>Computes groups as a worker does, as many at the same time as there are lanes.</summary>
internal sealed class GroupRunner(BaseModel model, ParameterLayout layout, AdapterSettings settings, bool gradientCheckpointing, int lanes = 1, double labelSmoothing = 0) : IAsyncDisposable
{
    private readonly TorchGroupComputer _computer = new(model, layout, settings, new PassSettings(gradientCheckpointing, LabelSmoothing: labelSmoothing), lanes);

    /// <summary>Loss sum and gradient of the segments.</summary>
    public async Task<(double LossSum, float[] Gradient)> TrainAsync(ImmutableArray<Segment> segments, AdapterVersion version, CancellationToken cancellationToken)
    {
        var sink = new VectorSink(layout);
        var group = new GroupSpec("golden", 0, 0, GroupKind.Train, [new MicroBatch(segments)]);
        var outcome = await _computer.ComputeAsync(group, version, sink, cancellationToken).ConfigureAwait(false);
        return (outcome.LossSum, sink.Values);
    }

    /// <summary>Loss sum of the segments.</summary>
    public async Task<double> EvaluateAsync(ImmutableArray<Segment> segments, AdapterVersion version, CancellationToken cancellationToken)
    {
        var group = new GroupSpec("golden", 0, 0, GroupKind.Evaluate, [new MicroBatch(segments)]);
        var outcome = await _computer.ComputeAsync(group, version, new VectorSink(layout), cancellationToken).ConfigureAwait(false);
        return outcome.LossSum;
    }

    /// <summary>The greedy continuation of a prompt, up to a stop token if there are any.</summary>
    public async Task<ImmutableArray<int>> ContinueAsync(
        ImmutableArray<int> prompt,
        int newTokens,
        AdapterVersion version,
        CancellationToken cancellationToken,
        ImmutableArray<int> stopTokens = default)
    {
        var group = new GroupSpec("golden", 0, 0, GroupKind.Generate, [new MicroBatch([new Segment(prompt, [], 0)])], new GenerationSettings(newTokens, stopTokens.IsDefault ? [] : stopTokens));
        var outcome = await _computer.ComputeAsync(group, version, new VectorSink(layout), cancellationToken).ConfigureAwait(false);
        return outcome.Continuations[0];
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _computer.DisposeAsync();
}
