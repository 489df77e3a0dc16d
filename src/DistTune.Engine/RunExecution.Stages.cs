using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <content>Stages: opened, measured, committed. Only <see cref="Advance"/> calls these, one at a time.</content>
public sealed partial class RunExecution
{
    private void OpenMeasurement()
    {
        var step = _run.Steps.Count;
        AnnounceStart(step);
        ImmutableArray<GroupSpec> groups = [.. Plan.Groups.EvaluationGroups(step), .. Plan.Groups.GenerationGroups(step)];
        if (groups.IsEmpty)
        {
            lock (_gate)
            {
                RecordUnlessEnded(new MeasurementClosed(step, null, 0, []));
            }

            return;
        }

        Open(StageKind.Measure, step, groups, "evaluate");
    }

    private void OpenStep()
    {
        var step = _run.Steps.Count;
        var groups = Plan.Groups.TrainingGroups(step);
        var trained = groups.Sum(group => group.TrainedTokens);
        if (trained == 0)
        {
            Fail(string.Create(CultureInfo.InvariantCulture, $"Step {step} has {groups.Sum(group => group.TotalTokens)} tokens and trains none of them. " +
                $"Check that the data has answers within sequence_len."));
            return;
        }

        Open(StageKind.Train, step, groups, "train step");
    }

    private void Open(StageKind kind, int step, ImmutableArray<GroupSpec> groups, string span)
    {
        lock (_gate)
        {
            if (_run.Ended)
            {
                return;
            }

            Record(new StageOpened(kind, step, _adapter.Sha256, [.. groups.Select(GroupKey.Of)]));
            _work = new StageWork(groups, _paces, _time, _options);
            _reduction = kind == StageKind.Train ? new ReductionTree(groups.Length, _pool) : null;
            _span = EngineTelemetry.StartRoot(span, Plan.RunId, step);
        }

        _workAppeared();
    }

    private void CloseMeasurement()
    {
        lock (_gate)
        {
            if (_work is not { } work || _run.Stage is not { } stage)
            {
                return;
            }

            var losses = stage.Results.Where(done => done.Group.Kind == GroupKind.Evaluate).Select(done => done.Outcome).ToList();
            var tokens = losses.Sum(outcome => outcome.TrainedTokens);
            var record = new MeasurementClosed(
                stage.Step,
                tokens > 0 ? losses.Sum(outcome => outcome.LossSum) / tokens : null,
                tokens,
                [.. stage.Results.Where(done => done.Group.Kind == GroupKind.Generate).SelectMany(done => done.Outcome.Continuations)]);
            Record(record);
            CloseWork(work);
            _events.Enqueue(new MeasurementFinished(Plan.RunId, record, _time.GetElapsedTime(work.Opened).TotalSeconds));
        }
    }

    /// <returns>Whether there is more to do now; false while the last additions are still going on.</returns>
    private bool CommitStep()
    {
        ReductionTree reduction;
        float[] gradient;
        StageWork work;
        OpenStage stage;
        lock (_gate)
        {
            if (_reduction is not { Root: { } root } tree || _work is not { } open || _run.Stage is not { Complete: true } complete)
            {
                return false;
            }

            // From here on nobody disputes a result of this step any more.
            (reduction, gradient, work, stage, _committing) = (tree, root, open, complete, true);
        }

        try
        {
            return CommitStep(stage, work, reduction, gradient);
        }
        finally
        {
            lock (_gate)
            {
                _committing = false;
            }
        }
    }

    private bool CommitStep(OpenStage stage, StageWork work, ReductionTree reduction, float[] gradient)
    {
        // The step before, should there have been no time for it so far.
        KeepTaken();

        // The stage is complete and nothing else touches the root, so the long work is done outside of the gate.
        var outcomes = stage.Results.Select(done => done.Outcome).ToList();
        var tokens = outcomes.Sum(outcome => outcome.TrainedTokens);
        if (tokens == 0)
        {
            Fail(string.Create(CultureInfo.InvariantCulture, $"Every group of step {stage.Step} was left out, because none of them is finite. Lower learning_rate."));
            return false;
        }

        var started = _time.GetTimestamp();
        var mean = _pool.Rent();
        var result = _optimizer.Step(stage.Step, _adapter, gradient, mean, tokens);
        _pool.Return(mean);
        var optimizerTime = _time.GetElapsedTime(started);
        if (!double.IsFinite(result.GradientNorm) || result.NonFinite >= 0)
        {
            Fail(string.Create(CultureInfo.InvariantCulture, $"Step {stage.Step}: gradient norm {result.GradientNorm} at learning rate " +
                $"{result.LearningRate}; the groups were finite, their sum or the new adapter is not. Lower learning_rate."));
            return false;
        }

        var record = new StepCommitted(
            stage.Step,
            result.GradientSha256,
            result.Adapter.Sha256,
            result.OptimizerSha256,
            outcomes.Sum(outcome => outcome.LossSum) / tokens,
            result.GradientNorm,
            result.LearningRate,
            tokens,
            outcomes.Sum(outcome => outcome.TotalTokens));
        lock (_gate)
        {
            if (_run.Ended)
            {
                return false;
            }

            var recording = _time.GetTimestamp();
            Record(record);
            var durability = work.LongestWait + result.HashTime + _time.GetElapsedTime(recording);
            Volatile.Write(ref _adapter, result.Adapter);
            var now = _time.GetUtcNow();
            EngineTelemetry.Record("optimizer step", _span, now, optimizerTime);
            EngineTelemetry.Record("reduce", _span, now - optimizerTime, reduction.AddTime);
            _reduction = null;
            _events.Enqueue(Describe(record, work, reduction.AddTime, optimizerTime) with { DurabilitySeconds = durability.TotalSeconds });
            CloseWork(work);
        }

        if (_store is null)
        {
            reduction.Release();
        }
        else
        {
            _unkept = new TakenStep(stage.Step, gradient, _run.LastSnapshot) { Reduction = reduction, Results = stage.Done.Values };
        }

        return true;
    }

    private StepFinished Describe(StepCommitted record, StageWork work, TimeSpan reduce, TimeSpan optimizer) => new(
        Plan.RunId,
        record,
        Plan.Steps,
        (double)(record.Step + 1) / Math.Max(1, Plan.StepsPerEpoch),
        _run.TrainedTokens,
        _run.TotalTokens,
        _workers().Count,
        _time.GetElapsedTime(work.Opened).TotalSeconds,
        _time.GetElapsedTime(_started).TotalSeconds,
        reduce.TotalSeconds,
        optimizer.TotalSeconds,
        [.. work.Reports])
    {
        ResumedAt = _resumedAt,
    };

    private void CloseWork(StageWork work)
    {
        work.DoubtIdle(_workers());
        _work = null;
        _undecided.Clear();
        _halfSent.Clear();
        _span?.Stop();
        _span = null;
    }

    private void AnnounceStart(int step)
    {
        if (step == 0 && !_announced)
        {
            _announced = true;
            _started = _time.GetTimestamp();
            _events.Enqueue(new RunStarted(Plan.RunId, Plan.Steps, Plan.StepsPerEpoch, _workers().Count, Plan.Layout.ParameterCount));
        }
    }

    private void RecordUnlessEnded(RunRecord record)
    {
        if (!_run.Ended)
        {
            Record(record);
        }
    }
}
