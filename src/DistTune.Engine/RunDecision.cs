using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>What a run needs next.</summary>
internal enum RunAction
{
    /// <summary>Nothing until a result, a worker or time comes.</summary>
    Wait,

    /// <summary>Open the evaluation and generation groups.</summary>
    OpenMeasurement,

    /// <summary>Open the groups of the next optimizer step.</summary>
    OpenStep,

    /// <summary>All groups of the measurement are there: close it.</summary>
    CloseMeasurement,

    /// <summary>All groups of the step are there: take the optimizer step.</summary>
    CommitStep,

    /// <summary>Everything is done.</summary>
    Finish,
}

/// <summary>Decides what comes next from the state alone, without doing it.</summary>
internal static class RunDecision
{
    public static RunAction Next(TrainingRun run, RunPlan plan, int workers, int workersToStart)
    {
        if (run.Ended || (run.State == RunState.Registering && workers < workersToStart))
        {
            return RunAction.Wait;
        }

        if (run.Stage is { } stage)
        {
            return (stage.Complete, stage.Kind) switch
            {
                (false, _) => RunAction.Wait,
                (true, StageKind.Train) => RunAction.CommitStep,
                (true, _) => RunAction.CloseMeasurement,
            };
        }

        if (!run.Measured && MeasuredBefore(run.Steps.Count, plan))
        {
            return RunAction.OpenMeasurement;
        }

        return run.Steps.Count < plan.Steps ? RunAction.OpenStep : RunAction.Finish;
    }

    /// <summary>Measured before the first step, after the last, and at every interval between.</summary>
    private static bool MeasuredBefore(int step, RunPlan plan) =>
        step == 0 || step == plan.Steps || (plan.EvaluationInterval is { } interval && interval > 0 && step % interval == 0);
}
