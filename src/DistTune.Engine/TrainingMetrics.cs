using System.Diagnostics.Metrics;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>A run as OpenTelemetry instruments: loss, progress, tokens, durations by phase and worker, workers, state.</summary>
public sealed class TrainingMetrics : IRunObserver, IDisposable
{
    private readonly Meter _meter = new(EngineTelemetry.MeterName);
    private readonly TimeProvider _time;
    private readonly Gauge<double> _loss;
    private readonly Gauge<double> _evaluationLoss;
    private readonly Gauge<double> _gradientNorm;
    private readonly Gauge<double> _learningRate;
    private readonly Gauge<double> _epoch;
    private readonly Gauge<int> _globalStep;
    private readonly Gauge<int> _maxSteps;
    private readonly Gauge<double> _lastStep;
    private readonly Gauge<int> _state;
    private readonly Gauge<int> _workers;
    private readonly Gauge<int> _expectedWorkers;
    private readonly Counter<long> _steps;
    private readonly Counter<long> _nonFinite;
    private readonly Counter<long> _tokens;
    private readonly Counter<long> _released;
    private readonly Histogram<double> _stepDuration;
    private readonly Histogram<double> _phaseDuration;

    /// <summary>Creates the instruments.</summary>
    /// <param name="workersExpected">How many workers there should be; 0 if nobody said.</param>
    /// <param name="time">The clock, for timestamps.</param>
    public TrainingMetrics(int workersExpected, TimeProvider time)
    {
        _time = time;
        _loss = _meter.CreateGauge<double>("disttune.training.loss", "{nat}", "Mean loss of the last step's trained tokens.");
        _evaluationLoss = _meter.CreateGauge<double>("disttune.eval.loss", "{nat}", "Mean loss of the held-out trained tokens.");
        _gradientNorm = _meter.CreateGauge<double>("disttune.training.gradient_norm", null, "Global gradient norm before clipping.");
        _learningRate = _meter.CreateGauge<double>("disttune.training.learning_rate", null, "Learning rate of the last step.");
        _epoch = _meter.CreateGauge<double>("disttune.training.epoch", null, "Epochs behind.");
        _globalStep = _meter.CreateGauge<int>("disttune.training.global_step", "{step}", "Optimizer steps taken.");
        _maxSteps = _meter.CreateGauge<int>("disttune.training.max_steps", "{step}", "Optimizer steps of the run.");
        _lastStep = _meter.CreateGauge<double>("disttune.training.last_step.timestamp", "s", "Unix time of the last optimizer step.");
        _state = _meter.CreateGauge<int>("disttune.run.state", null, "1 for the state the run is in.");
        _workers = _meter.CreateGauge<int>("disttune.worker.count", "{worker}", "Workers registered.");
        _expectedWorkers = _meter.CreateGauge<int>("disttune.worker.expected", "{worker}", "Workers that should be there.");
        _steps = _meter.CreateCounter<long>("disttune.training.steps", "{step}", "Optimizer steps taken by this process.");
        _nonFinite = _meter.CreateCounter<long>("disttune.training.nonfinite_steps", "{step}", "Steps that were not finite.");
        _tokens = _meter.CreateCounter<long>("disttune.training.tokens", "{token}", "Tokens computed, by kind and worker.");
        _released = _meter.CreateCounter<long>("disttune.worker.groups_released", "{group}", "Groups given out again, or to a second worker.");
        _stepDuration = _meter.CreateHistogram<double>("disttune.training.step.duration", "s", "Wall time of a step.");
        _phaseDuration = _meter.CreateHistogram<double>("disttune.training.phase.duration", "s", "Time of a group or step in a phase.");
        _expectedWorkers.Record(workersExpected);
    }

    /// <inheritdoc />
    public void Observe(RunEvent runEvent)
    {
        ArgumentNullException.ThrowIfNull(runEvent);
        var run = new KeyValuePair<string, object?>("run", runEvent.RunId);
        switch (runEvent)
        {
            case RunStarted started:
                _maxSteps.Record(started.Steps, run);
                _globalStep.Record(started.ResumedAt ?? 0, run);
                RecordState(RunState.Running, run);
                break;
            case StepFinished step:
                RecordStep(step, run);
                break;
            case MeasurementFinished { Record.Loss: { } loss }:
                _evaluationLoss.Record(loss, run);
                break;
            case WorkerJoined joined:
                _workers.Record(joined.Workers, run);
                break;
            case WorkerLeft left:
                _workers.Record(left.Workers, run);
                break;
            case GroupReleased released:
                _released.Add(1, run, new("worker", released.Worker));
                break;
            case ResultRefused { Verdict: { Status: SubmitStatus.Fatal or SubmitStatus.Invalid } verdict } when verdict.Reason.Contains("not finite", StringComparison.Ordinal):
                _nonFinite.Add(1, run);
                break;
            case RunEnded ended:
                RecordState(ended.State, run);
                break;
        }
    }

    /// <summary>Takes the instruments down.</summary>
    public void Dispose() => _meter.Dispose();

    private void RecordState(RunState current, KeyValuePair<string, object?> run)
    {
        foreach (var state in Enum.GetValues<RunState>())
        {
            _state.Record(state == current ? 1 : 0, run, new("state", state.ToString().ToLowerInvariant()));
        }
    }

    private void RecordStep(StepFinished step, KeyValuePair<string, object?> run)
    {
        _loss.Record(step.Record.Loss, run);
        _gradientNorm.Record(step.Record.GradientNorm, run);
        _learningRate.Record(step.Record.LearningRate, run);
        _epoch.Record(step.Epoch, run);
        _globalStep.Record(step.Record.Step + 1, run);
        _lastStep.Record(_time.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0, run);
        _steps.Add(1, run);
        _stepDuration.Record(step.StepSeconds, run);
        _phaseDuration.Record(step.ReduceSeconds, run, new("phase", "reduce"));
        _phaseDuration.Record(step.OptimizerSeconds, run, new("phase", "optimizer"));
        foreach (var group in step.Groups)
        {
            var rank = new KeyValuePair<string, object?>("rank", group.Rank);
            _tokens.Add(group.TrainedTokens, run, rank, new("kind", "trained"));
            _tokens.Add(group.TotalTokens - group.TrainedTokens, run, rank, new("kind", "masked"));
            _phaseDuration.Record(group.Timings.ForwardSeconds, run, rank, new("phase", "forward"));
            _phaseDuration.Record(group.Timings.BackwardSeconds, run, rank, new("phase", "backward"));
            _phaseDuration.Record(group.Timings.UploadSeconds, run, rank, new("phase", "upload"));
        }
    }
}
