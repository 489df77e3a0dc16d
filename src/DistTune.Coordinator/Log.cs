using DistTune.Engine;

namespace DistTune.Coordinator;

internal static partial class Log
{
    [LoggerMessage(EventId = 1001, Level = LogLevel.Information, Message = "Run {RunId}: {Steps} steps, {Parameters} trained parameters.")]
    public static partial void RunStarted(this ILogger logger, string runId, int steps, long parameters);

    [LoggerMessage(EventId = 1002, Level = LogLevel.Information, Message = "{Progress}")]
    public static partial void Step(this ILogger logger, string progress);

    [LoggerMessage(EventId = 1003, Level = LogLevel.Information, Message = "Held-out loss {Loss:F4} after {Step} steps.")]
    public static partial void Measured(this ILogger logger, double loss, int step);

    [LoggerMessage(EventId = 1004, Level = LogLevel.Information, Message = "Worker {Worker} joined with {Slots} slots; {Workers} workers.")]
    public static partial void WorkerJoined(this ILogger logger, string worker, int slots, int workers);

    [LoggerMessage(EventId = 1005, Level = LogLevel.Warning, Message = "Worker {Worker} is gone ({Reason}); {Groups} groups given out again; {Workers} workers.")]
    public static partial void WorkerLeft(this ILogger logger, string worker, string reason, int groups, int workers);

    [LoggerMessage(EventId = 1006, Level = LogLevel.Warning, Message = "The {Group} of worker {Worker} is given out again: {Reason}")]
    public static partial void GroupReleased(this ILogger logger, GroupKey group, string worker, string reason);

    [LoggerMessage(EventId = 1007, Level = LogLevel.Warning, Message = "A result of worker {Worker} for the {Group} was not taken ({Status}): {Reason}")]
    public static partial void ResultRefused(this ILogger logger, string worker, GroupKey group, SubmitStatus status, string reason);

    [LoggerMessage(EventId = 1016, Level = LogLevel.Warning, Message = "The {Group} has two results, of workers {First} and {Second}, and there is no third worker to decide. Start another worker within {Minutes:0.#} minutes; the other groups go on.")]
    public static partial void DisputeWaits(this ILogger logger, GroupKey group, string first, string second, double minutes);

    [LoggerMessage(EventId = 1008, Level = LogLevel.Information, Message = "Run {RunId} finished; adapter {AdapterSha256}.")]
    public static partial void RunFinished(this ILogger logger, string runId, string adapterSha256);

    [LoggerMessage(EventId = 1009, Level = LogLevel.Error, Message = "Run {RunId} failed: {Reason}")]
    public static partial void RunFailed(this ILogger logger, string runId, string reason);

    [LoggerMessage(EventId = 1010, Level = LogLevel.Warning, Message = "A call of {Method} by {Peer} was refused: {Reason}.")]
    public static partial void CallRefused(this ILogger logger, string method, string peer, string reason);

    [LoggerMessage(EventId = 1014, Level = LogLevel.Information, Message = "Run {RunId} goes on in term {Term} after step {Step} of {Steps}.")]
    public static partial void RunGoesOn(this ILogger logger, string runId, long term, int step, int steps);

    [LoggerMessage(EventId = 1015, Level = LogLevel.Warning, Message = "{Notice}")]
    public static partial void Notice(this ILogger logger, string notice);

    [LoggerMessage(EventId = 1012, Level = LogLevel.Warning, Message = "{Workers} workers have not left after {Seconds:F0} s; ending without them.")]
    public static partial void WorkersRemain(this ILogger logger, int workers, double seconds);

    [LoggerMessage(EventId = 1017, Level = LogLevel.Warning, Message = "A worker was refused. {Reason}")]
    public static partial void JoinRefused(this ILogger logger, string reason);

    [LoggerMessage(EventId = 1013, Level = LogLevel.Information, Message = "Worker {Worker} left; {Workers} workers.")]
    public static partial void WorkerDone(this ILogger logger, string worker, int workers);
}
