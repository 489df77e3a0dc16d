using Spectre.Console;

namespace DistTune.Cli.Output;

/// <summary>A fault as one block: what happened, and where to read on. Never a stack trace.</summary>
internal static class FaultReport
{
    /// <summary>Writes the block.</summary>
    /// <param name="error">Where to.</param>
    /// <param name="message">One fault a line.</param>
    /// <param name="help">A command that helps, or null.</param>
    public static void Write(TextWriter error, string message, string? help)
    {
        var console = Consoles.For(error);
        var lines = message.Split('\n');
        console.MarkupLineInterpolated(lines.Length == 1 ? $"[red]error:[/] {lines[0]}" : (FormattableString)$"[red]{lines.Length} errors:[/]");
        if (lines.Length > 1)
        {
            foreach (var line in lines)
            {
                console.WriteLine($"  {line}");
            }
        }

        if (help is not null)
        {
            console.WriteLine($"See: {help}");
        }
    }
}
