using System.Globalization;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace DistTune.ServiceDefaults;

/// <summary>
/// One line an entry: the time in UTC and the message. The level is named from warnings up, the category where it is not the product's
/// own; what a run says of itself stays readable.
/// </summary>
internal sealed class LineFormatter(TimeProvider time) : ConsoleFormatter(FormatterName)
{
    /// <summary>The name that logging options refer to it by.</summary>
    public const string FormatterName = "line";

    private const string OwnCategories = "DistTune.";

    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        textWriter.Write(time.GetUtcNow().ToString("HH':'mm':'ss'Z '", CultureInfo.InvariantCulture));
        if (logEntry.LogLevel >= LogLevel.Warning)
        {
            textWriter.Write(logEntry.LogLevel == LogLevel.Warning ? "warning: " : "error: ");
        }

        if (!logEntry.Category.StartsWith(OwnCategories, StringComparison.Ordinal))
        {
            textWriter.Write($"{logEntry.Category}: ");
        }

        textWriter.Write(OneLine(logEntry.Formatter(logEntry.State, logEntry.Exception)));
        if (logEntry.Exception is { } exception)
        {
            textWriter.Write(' ');
            textWriter.Write(OneLine(exception.ToString()));
        }

        textWriter.Write('\n');
    }

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");
}
