using DistTune.Engine;

namespace DistTune.Worker;

internal static partial class Log
{
    [LoggerMessage(EventId = 2001, Level = LogLevel.Information, Message = "Base {BaseModel} is loaded ({Seconds:F1} s).")]
    public static partial void BaseLoaded(this ILogger logger, string baseModel, double seconds);

    [LoggerMessage(EventId = 2002, Level = LogLevel.Information, Message = "{Worker} joined {Coordinator} with {Lanes} lanes.")]
    public static partial void Joined(this ILogger logger, string worker, Uri coordinator, int lanes);

    [LoggerMessage(EventId = 2003, Level = LogLevel.Warning, Message = "The session ended ({Reason}); joining again.")]
    public static partial void SessionLost(this ILogger logger, string reason);

    [LoggerMessage(EventId = 2004, Level = LogLevel.Information, Message = "Leaving: {Reason}.")]
    public static partial void Leaving(this ILogger logger, string reason);

    [LoggerMessage(EventId = 2005, Level = LogLevel.Warning, Message = "The {Group} could not be computed: {Reason}")]
    public static partial void GroupFailed(this ILogger logger, GroupKey group, string reason);

    [LoggerMessage(EventId = 2006, Level = LogLevel.Warning, Message = "The result of the {Group} was not taken ({Status}): {Reason}")]
    public static partial void ResultRefused(this ILogger logger, GroupKey group, string status, string reason);

    [LoggerMessage(EventId = 2007, Level = LogLevel.Error, Message = "{Reason}")]
    public static partial void CannotWork(this ILogger logger, string reason);

    [LoggerMessage(EventId = 2009, Level = LogLevel.Debug, Message = "The canary of run {RunId} comes to {Digest} ({Seconds:F1} s).")]
    public static partial void CanaryComputed(this ILogger logger, string digest, string runId, double seconds);

    [LoggerMessage(EventId = 2008, Level = LogLevel.Debug, Message = "The {Group} is no longer wanted.")]
    public static partial void Revoked(this ILogger logger, GroupKey group);

    [LoggerMessage(EventId = 2010, Level = LogLevel.Information, Message = "The result of the {Group} outlived its connection: {Bytes} bytes had arrived, the rest follows.")]
    public static partial void Resuming(this ILogger logger, GroupKey group, long bytes);

    [LoggerMessage(EventId = 2011, Level = LogLevel.Information, Message = "The coordinator did not answer the good-bye ({Reason}).")]
    public static partial void LeftUnheard(this ILogger logger, string reason);
}
