using Spectre.Console;

namespace DistTune.Cli.Output;

/// <summary>Spectre consoles over a writer: coloured on a terminal, plain and unwrapped elsewhere.</summary>
internal static class Consoles
{
    private const int NeverWrap = 10_000;

    /// <summary>A console for a writer.</summary>
    public static IAnsiConsole For(TextWriter writer)
    {
        var interactive = IsTerminal(writer);
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = interactive ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = interactive ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = interactive ? InteractionSupport.Detect : InteractionSupport.No,
        });
        if (!interactive)
        {
            console.Profile.Width = NeverWrap;
        }

        return console;
    }

    /// <summary>Whether a person's terminal is behind a writer.</summary>
    public static bool IsTerminal(TextWriter writer) =>
        (ReferenceEquals(writer, Console.Error) && !Console.IsErrorRedirected) || (ReferenceEquals(writer, Console.Out) && !Console.IsOutputRedirected);
}
