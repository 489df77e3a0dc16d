using System.CommandLine;
using DistTune.Cli.Output;
using DistTune.Cli.Running;
using DistTune.Core;
using DistTune.Core.Configuration;
using DistTune.Core.Memory;
using DistTune.Core.Planning;
using Spectre.Console;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune train</c>: the whole run in this process.</summary>
internal static class TrainVerb
{
    private static readonly Argument<string> File = new("config") { Description = "The run's YAML file." };
    private static readonly Option<bool> DryRun = new("--dry-run") { Description = "Check everything, print the plan, train nothing." };
    private static readonly Option<bool> Init = new("--init") { Description = "Write a configuration to start from." };
    private static readonly Option<string?> Resume = new("--resume") { Description = "Go on where the run stands (auto), from a snapshot's folder, or start anew (none).", Arity = ArgumentArity.ZeroOrOne, HelpName = "auto|PATH|none" };
    private static readonly Option<string?> InitAdapter = new("--init-adapter") { Description = "Start from a PEFT adapter's values.", HelpName = "PATH" };
    private static readonly Option<int?> Workers = new("--workers") { Description = "Workers; they share the cores. The adapter does not depend on it.", HelpName = "N" };
    private static readonly Option<int?> Threads = new("--threads-per-worker") { Description = "Threads of each worker. The adapter does not depend on it.", HelpName = "N" };
    private static readonly Option<bool> Json = new("--json") { Description = "Close with one line of JSON on standard output." };
    private static readonly ConfigOptions Keys = new([.. RunConfigKeys.All.Where(key => key.Name is not "init_adapter")]);

    public static Command Create()
    {
        var command = new Verb(
            "train",
            """
            Fine-tunes a base model with LoRA and writes a PEFT adapter. Every key of the configuration is an option, too.

            Examples:
              disttune train run.yaml --init                 write a configuration to start from
              disttune train run.yaml --dry-run              check base, data and configuration
              disttune train run.yaml --workers 2            train; go on if the run was stopped before
              disttune train run.yaml --resume none          train anew, whatever the output folder holds
              disttune train run.yaml --learning-rate 1e-4 --set distributed.lease_seconds=60
            """)
        {
            File, DryRun, Init, Resume, InitAdapter, Workers, Threads, Json,
        };
        Keys.AddTo(command);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (output, error) = (parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error);
        var file = parsed.GetRequiredValue(File);
        if (parsed.GetValue(Init))
        {
            StarterConfig.Write(file);
            output.WriteLine($"Wrote {file}. Set base_model and datasets, then: disttune train {file} --dry-run");
            return ExitCodes.Success;
        }

        var overrides = Keys.Read(parsed).ToList();
        if (parsed.GetResult(Resume) is { Implicit: false })
        {
            var point = parsed.GetValue(Resume) ?? "auto";
            overrides.Add(new ConfigOverride("resume_from_checkpoint", point == "none" ? "null" : point, new ValueOrigin(OriginKind.CommandLine, "--resume")));
        }

        if (parsed.GetValue(InitAdapter) is { } adapter)
        {
            overrides.Add(new ConfigOverride("init_adapter", adapter, new ValueOrigin(OriginKind.CommandLine, "--init-adapter")));
        }

        var config = RunConfigLoader.Load(file, overrides);
        var cores = Cores.Share(parsed.GetValue(Workers) ?? config.Distributed.Workers, parsed.GetValue(Threads) ?? config.Distributed.ThreadsPerWorker);
        var run = await RunPlanner.CreateAsync(config, Cores.MultiplyBFloat16, cancellationToken).ConfigureAwait(false);
        var console = Consoles.For(error);
        Banner.Write(console, run, cores.Workers, cores.ThreadsPerWorker);
        if (config.MemoryCheck)
        {
            MemoryCheck.Require(
                MemoryQuestion.Of(run.Spec, run.Plan, cores.Workers, cores.ThreadsPerWorker, withCoordinator: true), FreeMemory.Bytes(), "memory_check: false");
        }

        if (parsed.GetValue(DryRun))
        {
            console.MarkupLine("[green]Everything fits.[/] Nothing was trained (--dry-run).");
            return ExitCodes.Success;
        }

        var summary = await LocalTraining.RunAsync(run, cores, new TrainingProgress(error, config.LoggingSteps), error, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        SummaryReport.Write(parsed.GetValue(Json) ? console : Consoles.For(output), summary);
        if (parsed.GetValue(Json))
        {
            output.WriteLine(summary.ToJson());
        }

        return ExitCodes.Success;
    }
}
