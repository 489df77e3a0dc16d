using System.Collections.Immutable;
using DistTune.Core.Optimization;
using DistTune.Core.Training;
using DistTune.Modeling;

namespace DistTune.Goldens.Training;

/// <summary>What a step comes to.</summary>
internal sealed record TrainStep(double Loss, long ValidTokens, double GradientNorm, double Rate, double ParameterNorm);

/// <summary>A training run, step by step: the same computer, clipping, schedule and optimizer as the product's.</summary>
internal sealed class TrainRun : IAsyncDisposable
{
    private readonly BaseModel _model;
    private readonly ParameterLayout _layout;
    private readonly AdapterSettings _settings;
    private readonly TrainCase _case;
    private readonly AdamW _optimizer;
    private readonly LearningRateSchedule _schedule;
    private readonly GroupRunner _runner;

    /// <summary>Starts from the given values.</summary>
    public TrainRun(BaseModel model, ParameterLayout layout, AdapterSettings settings, TrainCase trainCase, float[] parameters)
    {
        _model = model;
        _layout = layout;
        _settings = settings;
        _case = trainCase;
        Parameters = parameters;
        _optimizer = new AdamW(layout, trainCase.Optimizer);
        _schedule = new LearningRateSchedule(trainCase.Schedule);
        _runner = new GroupRunner(model, layout, settings, trainCase.GradientCheckpointing, labelSmoothing: trainCase.LabelSmoothing);
    }

    /// <summary>The trained values now.</summary>
    public float[] Parameters { get; }

    /// <summary>One optimizer step over the micro-batches, each a group of its own.</summary>
    public async Task<TrainStep> StepAsync(int step, ImmutableArray<PaddedBatch> microBatches, CancellationToken cancellationToken)
    {
        var version = AdapterHash.Version(Parameters.ToArray());
        var gradient = new float[Parameters.Length];
        double lossSum = 0;
        foreach (var batch in microBatches)
        {
            var (loss, part) = await _runner.TrainAsync(batch.PaddedSegments, version, cancellationToken).ConfigureAwait(false);
            lossSum += loss;
            for (var index = 0; index < gradient.Length; index++)
            {
                gradient[index] += part[index];
            }
        }

        var valid = microBatches.Sum(batch => batch.ValidTokens);
        for (var index = 0; index < gradient.Length; index++)
        {
            gradient[index] /= valid;
        }

        var norm = GradientClipping.Norm(gradient);
        var rate = _schedule.RateAt(step);
        _optimizer.Step(Parameters, gradient, rate, GradientClipping.Factor(norm, _case.MaxGradientNorm));
        return new TrainStep(lossSum / valid, valid, norm, rate, GradientClipping.Norm(Parameters));
    }

    /// <summary>Logits of a batch with the trained values, without padding.</summary>
    public float[] Logits(PaddedBatch batch) =>
        AdaptedForward.Logits(_model, _layout, _settings, AdapterHash.Version(Parameters.ToArray()), batch.Segments);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _runner.DisposeAsync();
}
