using System.Collections.Immutable;
using System.CommandLine;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Cli.Running;
using DistTune.Core.Configuration;
using DistTune.Core.Memory;
using DistTune.Core.Planning;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune inspect memory</c>: what a run will take, against what is free.</summary>
internal static class InspectMemoryVerb
{
    private const int BarWidth = 40;

    private static readonly JsonSerializerOptions OneLine = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly Argument<string> File = new("config") { Description = "The run's YAML file." };
    private static readonly Option<int?> Workers = new("--workers") { Description = "Workers in the process.", HelpName = "N" };
    private static readonly Option<int?> Threads = new("--threads-per-worker") { Description = "Threads of each worker: groups at the same time.", HelpName = "N" };
    private static readonly Option<bool> Json = new("--json") { Description = "JSON on standard output." };
    private static readonly ConfigOptions Keys = new(RunConfigKeys.All);

    public static Command Create()
    {
        var command = new Verb(
            "memory",
            """
            Predicts what a run takes (base, adapter, optimizer, activations) against what is free, before it starts.

            Examples:
              disttune inspect memory run.yaml
              disttune inspect memory run.yaml --adapter qlora --micro-batch-size 1 --json
            """)
        {
            File, Workers, Threads, Json,
        };
        Keys.AddTo(command);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var config = RunConfigLoader.Load(parsed.GetRequiredValue(File), Keys.Read(parsed));
        var cores = Cores.Share(parsed.GetValue(Workers) ?? config.Distributed.Workers, parsed.GetValue(Threads) ?? config.Distributed.ThreadsPerWorker);
        var run = await RunPlanner.CreateAsync(config, Cores.MultiplyBFloat16, cancellationToken).ConfigureAwait(false);
        var question = MemoryQuestion.Of(run.Spec, run.Plan, cores.Workers, cores.ThreadsPerWorker, withCoordinator: true);
        var predicted = MemoryPredictor.Predict(question);
        var free = FreeMemory.Bytes();
        if (parsed.GetValue(Json))
        {
            parsed.InvocationConfiguration.Output.WriteLine(ToJson(question, predicted, free));
        }
        else
        {
            Print(parsed.InvocationConfiguration.Output, question, predicted, free);
        }

        return ExitCodes.Success;
    }

    private static string ToJson(MemoryQuestion question, MemoryPrediction predicted, long? free)
    {
        var parts = new JsonObject(predicted.Parts.Select(part => KeyValuePair.Create(part.Name, (JsonNode?)part.Bytes)));
        return new JsonObject
        {
            ["parts_bytes"] = parts,
            ["predicted_bytes"] = predicted.Bytes,
            ["free_bytes"] = free,
            ["fits"] = free is null || predicted.Bytes <= free,
            ["worker_bytes"] = MemoryPredictor.Predict(question.OfWorker).Bytes,
            ["coordinator_bytes"] = MemoryPredictor.Predict(question.OfCoordinator).Bytes,
            ["tokens"] = question.Batch.Tokens,
            ["cures"] = new JsonArray([.. Cures(question, predicted, free).Select(cure => (JsonNode?)cure)]),
        }.ToJsonString(OneLine);
    }

    private static void Print(TextWriter output, MemoryQuestion question, MemoryPrediction predicted, long? free)
    {
        var scale = Math.Max(predicted.Bytes, free ?? 0);
        foreach (var part in predicted.Parts)
        {
            Line(output, part.Name, part.Bytes, scale, part.Why);
        }

        Line(output, "together", predicted.Bytes, scale, "the predicted peak");
        output.WriteLine($"As processes of their own: {MemoryCheck.Text(MemoryPredictor.Predict(question.OfWorker).Bytes)} each worker, {MemoryCheck.Text(MemoryPredictor.Predict(question.OfCoordinator).Bytes)} the coordinator.");
        if (free is not { } bytes)
        {
            output.WriteLine("This system does not say how much memory is free.");
            return;
        }

        Line(output, "free", bytes, scale, "of this machine, or the container");
        var cures = Cures(question, predicted, free);
        output.WriteLine(predicted.Bytes <= bytes ? "It fits." : cures.IsEmpty ? "It does not fit, and none of the usual settings would make it." : $"It does not fit; it would with {string.Join(", or with ", cures)}.");
    }

    private static ImmutableArray<string> Cures(MemoryQuestion question, MemoryPrediction predicted, long? free) =>
        free is { } bytes && predicted.Bytes > bytes ? MemoryCheck.Cures(question, bytes) : [];

    private static void Line(TextWriter output, string name, long bytes, long scale, string why)
    {
        var length = (int)Math.Round((double)bytes / scale * BarWidth);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-12} {MemoryCheck.Text(bytes),10}  {new string('#', length).PadRight(BarWidth)}  {why}"));
    }
}
