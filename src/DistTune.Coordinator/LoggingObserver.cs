using DistTune.Engine;

namespace DistTune.Coordinator;

/// <summary>A run as log lines.</summary>
/// <param name="logger">Where to.</param>
/// <param name="loggingSteps">A line every so many steps, and after the last.</param>
internal sealed class LoggingObserver(ILogger logger, int loggingSteps) : IRunObserver
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
            case RunStarted { ResumedAt: null } started:
                logger.RunStarted(started.RunId, started.Steps, started.Parameters);
                break;
            case StepFinished step when (step.Record.Step + 1) % loggingSteps == 0 || step.Record.Step + 1 == step.Steps:
                logger.Step(StepLine.Describe(step));
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
            case DisputeWaits waits:
                logger.DisputeWaits(waits.Group, waits.First, waits.Second, waits.Patience.TotalMinutes);
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
}
