using System.CommandLine;
using DistTune.Core.Merging;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune export</c>: adapters in forms that other programs read.</summary>
internal static class ExportVerb
{
    private static readonly Option<string[]> Adapters = AdapterArguments.Adapters();
    private static readonly Option<string> Output = new("--output") { Description = "Folder to write.", Required = true, HelpName = "DIR" };
    private static readonly Option<bool> Portable = new("--portable") { Description = "One rank, one alpha, no rsLoRA, no patterns: what most programs take." };
    private static readonly Option<string?> Initial = new("--initial") { Description = "The adapter that the training began with: the difference is written, of twice the rank, for the original base.", HelpName = "DIR" };
    private static readonly Option<string> Combination = AdapterArguments.Combination();

    public static Command Create()
    {
        var peft = new Verb(
            "peft",
            """
            Writes an adapter, or several combined, as a PEFT folder; its card says which programs can take it.

            Examples:
              disttune export peft --adapter outputs/run/adapter --portable --output ./portable
              disttune export peft --adapter a=0.7 --adapter b=0.3 --output ./both
              disttune export peft --adapter pissa/final --initial pissa/init --output ./plain
            """)
        {
            Adapters, Output, Portable, Initial, Combination,
        };
        peft.SetAction(Run);
        return new Command("export", "Writes adapters for other programs.") { peft };
    }

    private static int Run(ParseResult parsed)
    {
        var adapter = AdapterArguments.Load(parsed.GetRequiredValue(Adapters), parsed.GetRequiredValue(Combination));
        if (parsed.GetValue(Initial) is { } initial)
        {
            adapter = AdapterDifference.Of(adapter, AdapterFolder.Load(initial));
        }

        if (parsed.GetValue(Portable))
        {
            adapter = PortableAdapter.Of(adapter);
        }

        var (output, writer) = (parsed.GetRequiredValue(Output), parsed.InvocationConfiguration.Output);
        adapter.Save(output);
        foreach (var consumer in AdapterConsumers.Of(adapter).Consumers)
        {
            writer.WriteLine($"{consumer.Name}: {consumer.Answer}");
        }

        writer.WriteLine($"Wrote {Path.GetFullPath(output)}");
        return ExitCodes.Success;
    }
}
