using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using DistTune.Cli.Output;
using DistTune.Cli.Running;
using DistTune.Core;
using DistTune.Core.Configuration;
using DistTune.Core.Planning;
using Spectre.Console;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune demo</c>: app host, coordinator and workers fine-tune the shipped base on the shipped data.</summary>
internal static class DemoVerb
{
    private const string RunFile = "examples/agriculture/run.yaml";
    private const int DefaultWorkers = 2;

    private static readonly Option<int?> Workers = new("--workers") { Description = "Worker processes.", HelpName = "N" };
    private static readonly Option<int?> Threads = new("--threads-per-worker") { Description = "Threads of each; the cores are shared out by default.", HelpName = "N" };
    private static readonly Option<string?> OutputFolder = new("--output-dir") { Description = "Folder of the run's files.", HelpName = "PATH" };
    private static readonly Option<bool> Json = new("--json") { Description = "Close with one line of JSON on standard output." };

    public static Command Create()
    {
        var command = new Verb(
            "demo",
            """
            Starts a coordinator and workers, fine-tunes the shipped base on Turkish agricultural advice, and shows what it learned.

            Examples:
              disttune demo
              disttune demo --workers 3 --threads-per-worker 1 --json
            """)
        {
            Workers, Threads, OutputFolder, Json,
        };
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var (output, error) = (parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error);
        var json = parsed.GetValue(Json);
        var file = Repository.PathOf(RunFile);
        var cores = Cores.Share(parsed.GetValue(Workers) ?? DefaultWorkers, parsed.GetValue(Threads));
        var overrides = parsed.GetValue(OutputFolder) is { } given
            ? new[] { new ConfigOverride("output_dir", Path.GetFullPath(given), new ValueOrigin(OriginKind.CommandLine, "--output-dir")) }
            : [];
        var config = RunConfigLoader.Load(file, overrides);
        var started = TimeProvider.System.GetTimestamp();
        var run = await RunPlanner.CreateAsync(config, Cores.MultiplyBFloat16, cancellationToken).ConfigureAwait(false);
        Banner.Write(Consoles.For(json ? error : output), run, cores.Workers, cores.ThreadsPerWorker);
        var host = new AppHostProcess(file, config.OutputFolder, cores, json ? error : output);
        var exitCode = await host.RunAsync(cancellationToken).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        if (exitCode != 0)
        {
            throw new DistTuneException(FaultKind.Failed, string.Create(CultureInfo.InvariantCulture, $"The app host ended with exit code {exitCode}; its lines above say why."));
        }

        var path = Path.Combine(config.OutputFolder, RunFolder.SummaryName);
        var summary = RunSummary.FromJson(await File.ReadAllTextAsync(path, cancellationToken).ConfigureAwait(false), path) with
        {
            Workers = cores.Workers,
            PeakMemoryBytes = host.PeakMemoryBytes,
            Seconds = TimeProvider.System.GetElapsedTime(started).TotalSeconds,
        };
        Report(Consoles.For(json ? error : output), summary);
        if (json)
        {
            output.WriteLine(Line(summary));
        }

        return ExitCodes.Success;
    }

    private static void Report(IAnsiConsole console, RunSummary summary)
    {
        SummaryReport.Write(console, summary);
        console.WriteLine();
        console.WriteLine("Ask it something:    ./disttune generate --model examples/base --adapter " + summary.AdapterPath + " --prompt \"Arı kolonisi kışa nasıl hazırlanır?\"");
        console.WriteLine("Fine-tune your own:  ./disttune train run.yaml --init   (set base_model and datasets), then   ./disttune train run.yaml --workers 2");
        console.WriteLine("The same, in processes:  dotnet run -c Release --project aspire/DistTune.AppHost -- run.yaml --workers 2");
    }

    private static string Line(RunSummary summary) => JsonSerializer.Serialize(new
    {
        workers = summary.Workers,
        adapter_path = summary.AdapterPath,
        adapter_sha256 = summary.AdapterSha256,
        loss_before = summary.LossBefore,
        loss_after = summary.LossAfter,
        f1_before = summary.F1Before,
        f1_after = summary.F1After,
        tokens_per_second = summary.TokensPerSecond,
        peak_memory_bytes = summary.PeakMemoryBytes,
        seconds = summary.Seconds,
    });
}
