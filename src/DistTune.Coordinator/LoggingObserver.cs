using DistTune.Engine;

namespace DistTune.Coordinator;

/// <summary>A run as log lines.</summary>
internal sealed class LoggingObserver(ILogger logger) : IRunObserver
{
    /// <summary>Reason of a worker that was told to leave.</summary>
    public const string Done = "done";

    // Events come in the middle of some worker's call, whose connection and request ids would bury the line.
    private readonly ExecutionContext? _context = ExecutionContext.Capture();

    public void Observe(RunEvent runEvent)
    {
        if (_context is null)
        {
            Write(runEvent);
        }
        else
        {
            ExecutionContext.Run(_context, state => Write((RunEvent)state!), runEvent);
        }
    }

    private void Write(RunEvent runEvent)
    {
        switch (runEvent)
        {
            case RunStarted started:
                logger.RunStarted(started.RunId, started.Steps, started.Parameters, started.Workers);
                break;
            case StepFinished step:
                LogStep(step);
                break;
            case MeasurementFinished { Record: { Loss: { } loss } record }:
                logger.Measured(loss, record.Step);
                break;
            case WorkerJoined joined:
                logger.WorkerJoined(joined.Worker, joined.Slots, joined.Workers);
                break;
            case WorkerLeft { GroupsRequeued: 0, Reason: Done } left:
                logger.WorkerDone(left.Worker, left.Workers);
                break;
            case WorkerLeft left:
                logger.WorkerLeft(left.Worker, left.Reason, left.GroupsRequeued, left.Workers);
                break;
            case GroupReleased released:
                logger.GroupReleased(released.Group, released.Worker, released.Reason);
                break;
            case ResultRefused refused:
                logger.ResultRefused(refused.Worker, refused.Group, refused.Verdict.Status, refused.Verdict.Reason);
                break;
            case RunEnded { Failure: { } failure }:
                logger.RunFailed(runEvent.RunId, failure);
                break;
            case RunEnded ended:
                logger.RunFinished(ended.RunId, ended.AdapterSha256);
                break;
        }
    }

    private void LogStep(StepFinished step)
    {
        var taken = step.Record.Step + 1;
        var left = step.ElapsedSeconds / taken * (step.Steps - taken);
        var rate = step.Record.TotalTokens / Math.Max(step.StepSeconds, 1e-9);
        logger.Step(taken, step.Steps, step.Record.Loss, step.Record.LearningRate, step.Record.GradientNorm, rate, step.Workers, left);
    }
}
