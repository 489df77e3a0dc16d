using Microsoft.Extensions.Logging;

namespace DistTune.ServiceDefaults;

internal static partial class Log
{
    [LoggerMessage(EventId = 9001, Level = LogLevel.Warning, Message = "The parent process {ProcessId} is gone; stopping.")]
    public static partial void ParentGone(this ILogger logger, int processId);

    [LoggerMessage(EventId = 9002, Level = LogLevel.Warning, Message = "{Operation} failed ({Reason}); attempt {Attempt} follows in {DelaySeconds:F1} s.")]
    public static partial void Retrying(this ILogger logger, string operation, string reason, int attempt, double delaySeconds);
}
