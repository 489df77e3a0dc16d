using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using DistTune.Cli.Running;
using DistTune.Core.Configuration;
using DistTune.Engine;
using DistTune.Engine.Journal;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune inspect</c>: what is configured, what this machine is, and what happened in a run.</summary>
internal static class InspectVerb
{
    private static readonly Argument<string?> File = new("config") { Description = "The run's YAML file.", Arity = ArgumentArity.ZeroOrOne };
    private static readonly Option<bool> ListKeys = new("--keys") { Description = "List all keys with what they expect." };
    private static readonly Option<bool> Json = new("--json") { Description = "JSON on standard output." };
    private static readonly Argument<string> Folder = new("folder") { Description = "The run's output_dir." };
    private static readonly Option<bool> Groups = new("--groups") { Description = "A line for every group's result, too." };
    private static readonly ConfigOptions Keys = new(RunConfigKeys.All);

    public static Command Create()
    {
        var config = new Verb(
            "config",
            """
            Prints the configuration with the origin of every value (file, environment, command line, default).

            Examples:
              disttune inspect config run.yaml --learning-rate 1e-4
              disttune inspect config --keys
            """)
        {
            File, ListKeys,
        };
        Keys.AddTo(config);
        config.SetAction(InspectConfig);
        var environment = new Verb(
            "env",
            """
            Prints cores, memory, instruction set, libtorch and stand-ins.

            Examples:
              disttune inspect env
              disttune inspect env --json
            """)
        {
            Json,
        };
        environment.SetAction(InspectEnvironment);
        var run = new Verb(
            "run",
            """
            Reads the journal of a run's folder and says in plain words what happened when. Changes nothing.

            Examples:
              disttune inspect run outputs/run
              disttune inspect run outputs/run --groups
            """)
        {
            Folder, Groups,
        };
        run.SetAction(InspectRun);
        return new Command("inspect", "Looks into configuration, machine and runs.") { config, InspectMemoryVerb.Create(), environment, run };
    }

    private static int InspectConfig(ParseResult parsed)
    {
        var output = parsed.InvocationConfiguration.Output;
        if (parsed.GetValue(ListKeys))
        {
            List(output, RunConfigKeys.All, "");
            return ExitCodes.Success;
        }

        output.Write(ConfigYaml.Write(RunConfigLoader.Load(parsed.GetValue(File), Keys.Read(parsed)).Values));
        return ExitCodes.Success;
    }

    private static int InspectRun(ParseResult parsed)
    {
        foreach (var line in RunNarrative.Tell(RunHistory.Read(parsed.GetRequiredValue(Folder)), parsed.GetValue(Groups)))
        {
            parsed.InvocationConfiguration.Output.WriteLine(line);
        }

        return ExitCodes.Success;
    }

    private static void List(TextWriter output, IEnumerable<ConfigKey> keys, string prefix)
    {
        foreach (var key in keys)
        {
            if (key.Kind is ConfigKind.Section or ConfigKind.SectionList)
            {
                output.WriteLine($"{prefix}{key.Name}: {key.Description}");
                List(output, key.Keys, $"{prefix}{key.Name}{(key.Kind is ConfigKind.SectionList ? "[]" : "")}.");
                continue;
            }

            var aliases = key.Aliases.IsEmpty ? "" : $" (also {string.Join(", ", key.Aliases)})";
            output.WriteLine($"{prefix}{key.Name}{aliases}: {key.Expected}. {key.Description}");
        }
    }

    private static int InspectEnvironment(ParseResult parsed)
    {
        var facts = MachineFacts.Collect();
        var output = parsed.InvocationConfiguration.Output;
        if (parsed.GetValue(Json))
        {
            output.WriteLine(JsonSerializer.Serialize(facts.ToDictionary(fact => fact.Name, fact => fact.Value), new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
            return ExitCodes.Success;
        }

        foreach (var (name, value) in facts)
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-18} {value}"));
        }

        return ExitCodes.Success;
    }
}
