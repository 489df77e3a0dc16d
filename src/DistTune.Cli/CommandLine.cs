using System.CommandLine;
using DistTune.Cli.Output;
using DistTune.Cli.Verbs;
using DistTune.Core;

namespace DistTune.Cli;

/// <summary>The command line as a whole: parses, runs a verb, and turns whatever goes wrong into one tidy block and an exit code.</summary>
internal static class CommandLine
{
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
            ImportVerb.Create(),
            InspectVerb.Create(),
            BenchVerb.Create(),
            DemoVerb.Create(),
        };
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
            var verb = string.Join(' ', args.TakeWhile(argument => !argument.StartsWith('-')).Take(1));
            FaultReport.Write(error, string.Join('\n', parsed.Errors.Select(fault => fault.Message)), $"disttune {verb} --help".Replace("  ", " ", StringComparison.Ordinal));
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
    }
}
