using System.CommandLine;
using DistTune.Cli.Output;
using DistTune.Cli.Verbs;
using DistTune.Core;
using DistTune.Core.Configuration;

namespace DistTune.Cli;

/// <summary>The command line as a whole: parses, runs a verb, and turns whatever goes wrong into one tidy block and an exit code.</summary>
internal static class CommandLine
{
    private const string TraceVariable = "DISTTUNE_TRACE";

    private static readonly TimeSpan TimeToStop = TimeSpan.FromSeconds(10);

    /// <summary>All verbs.</summary>
    public static RootCommand Create()
    {
        var root = new RootCommand(
            """
            DistTune fine-tunes language models with LoRA, exactly the same on any number of workers.

            Examples:
              disttune demo                                  see it work in a few minutes
              disttune train run.yaml --workers 2            fine-tune
              disttune eval run.yaml                         loss and token F1 on held-out rows, with and without the adapter
              disttune generate --model ./model --adapter outputs/run/adapter --prompt "Buğday ne zaman ekilir?"
            """)
        {
            TrainVerb.Create(),
            EvalVerb.Create(),
            GenerateVerb.Create(),
            PretrainVerb.Create(),
            MergeVerb.Create(),
            ExportVerb.Create(),
            ImportVerb.Create(),
            InspectVerb.Create(),
            BenchVerb.Create(),
            CertsVerb.Create(),
            TokenVerb.Create(),
            DemoVerb.Create(),
        };
        Verb.ShowExamples(root);
        return root;
    }

    /// <summary>Runs a command line.</summary>
    /// <param name="args">What follows <c>disttune</c>.</param>
    /// <param name="output">Results.</param>
    /// <param name="error">Progress and faults.</param>
    public static async Task<int> RunAsync(string[] args, TextWriter output, TextWriter error)
    {
        var parsed = Create().Parse(args);
        if (parsed.Errors.Count > 0)
        {
            ReportMistakes(parsed, args, error);
            return ExitCodes.Configuration;
        }

        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = TimeToStop,
                Output = output,
                Error = error,
            }).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            FaultReport.Write(error, "Interrupted; nothing of this run was published.", null);
            return ExitCodes.Interrupted;
        }
        catch (DistTuneException fault)
        {
            FaultReport.Write(error, fault.Message, null);
            return ExitCodes.Of(fault.Kind);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            FaultReport.Write(error, fault.Message, null);
            return ExitCodes.Failed;
        }
        catch (Exception fault) when (Environment.GetEnvironmentVariable(TraceVariable) is null)
        {
            // The last line of defence: a fault of ours is told as one, and the trace is there for whoever reports it.
            FaultReport.Write(error, $"internal fault: {fault.GetType().Name}: {fault.Message}", $"{TraceVariable}=1 shows where it happened; please report it");
            return ExitCodes.Failed;
        }
    }

    private static void ReportMistakes(ParseResult parsed, string[] args, TextWriter error)
    {
        var command = parsed.CommandResult.Command;
        var known = command.Subcommands.Select(verb => verb.Name).Concat(command.Options.SelectMany(option => option.Aliases.Prepend(option.Name))).ToArray();
        var unknown = parsed.UnmatchedTokens.FirstOrDefault();
        var path = string.Join(' ', command.Parents.Select(parent => parent.Name).Reverse().Append(command.Name));
        if (unknown is not null && NearestName.Find(unknown, known) is { } nearest)
        {
            FaultReport.Write(error, $"'{unknown}' is not known to {path}; the nearest is {nearest}.", $"{path} --help");
            return;
        }

        var messages = parsed.Errors.Select(fault => fault.Message).Distinct(StringComparer.Ordinal);
        FaultReport.Write(error, args.Length == 0 ? "There is no verb. Try: disttune demo" : string.Join('\n', messages), $"{path} --help");
    }
}
