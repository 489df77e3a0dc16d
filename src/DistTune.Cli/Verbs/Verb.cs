using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace DistTune.Cli.Verbs;

/// <summary>A command whose help closes with examples; lists of commands show its first paragraph only.</summary>
/// <param name="name">The verb.</param>
/// <param name="text">What it is for, then, after an empty line, its examples.</param>
internal sealed class Verb(string name, string text) : Command(name, Parts(text)[0])
{
    private const string Separator = "\n\n";

    /// <summary>The examples; empty if there are none.</summary>
    public string Examples { get; } = string.Join(Separator, Parts(text).Skip(1));

    /// <summary>Lets a root command's help show the examples of its verbs.</summary>
    public static void ShowExamples(RootCommand root)
    {
        foreach (var option in root.Options.OfType<HelpOption>())
        {
            if (option.Action is HelpAction help)
            {
                option.Action = new HelpWithExamples(help);
            }
        }
    }

    private static string[] Parts(string text) => text.ReplaceLineEndings("\n").Split(Separator);

    private sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            var exitCode = help.Invoke(parseResult);
            if (parseResult.CommandResult.Command is Verb { Examples.Length: > 0 } verb)
            {
                parseResult.InvocationConfiguration.Output.WriteLine(verb.Examples);
            }

            return exitCode;
        }
    }
}
