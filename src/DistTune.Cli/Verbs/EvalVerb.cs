using System.Collections.Immutable;
using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using DistTune.Cli.Running;
using DistTune.Core;
using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Numerics;
using DistTune.Core.Planning;
using DistTune.Core.Quantization;
using DistTune.Core.Training;
using DistTune.Modeling.Adapters;

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune eval</c>: what an adapter is worth on rows it never saw.</summary>
internal static class EvalVerb
{
    private static readonly Argument<string> File = new("config") { Description = "The run's YAML file." };
    private static readonly Option<string[]> Adapter = new("--adapter") { Description = "PEFT folder, the run's own by default; repeated, all are active at once, each by its weight (DIR=0.7).", HelpName = "DIR[=W]" };
    private static readonly Option<bool> Each = new("--each") { Description = "Besides all adapters together, each of them alone." };
    private static readonly Option<int?> Threads = new("--threads") { Description = "Threads; all cores by default.", HelpName = "N" };
    private static readonly Option<bool> Json = new("--json") { Description = "One line of JSON on standard output." };
    private static readonly ConfigOptions Keys = new(RunConfigKeys.All);

    public static Command Create()
    {
        var command = new Verb(
            "eval",
            """
            Computes loss and token F1 on the held-out rows of a run, with and without the adapter.

            Examples:
              disttune eval run.yaml
              disttune eval run.yaml --adapter outputs/run/adapter --eval-samples 100 --json
              disttune eval run.yaml --adapter advice=0.7 --adapter tone=0.3 --each
            """)
        {
            File, Adapter, Each, Threads, Json,
        };
        Keys.AddTo(command);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var config = RunConfigLoader.Load(parsed.GetRequiredValue(File), Keys.Read(parsed));
        var run = await RunPlanner.CreateAsync(config, Cores.MultiplyBFloat16, cancellationToken).ConfigureAwait(false);
        if (run.Data.HeldOutRows == 0)
        {
            throw new DistTuneException(FaultKind.Configuration, "Nothing is held out, so there is nothing to evaluate on. Set eval_datasets or val_set_size.");
        }

        run = OnTheOriginalBase(run);
        var untrained = Untrained(run);
        var candidates = Candidates(run, parsed.GetValue(Adapter) ?? [], parsed.GetValue(Each));
        var cores = Cores.Share(1, parsed.GetValue(Threads));
        await using var computers = LocalComputers.Load(run, cores);
        var before = await MeasureAsync("base", computers.Computers, untrained).ConfigureAwait(false);
        var results = new List<Result>();
        foreach (var candidate in candidates)
        {
            // What was trained whole replaces the base's weights; adapters are put on them, however many.
            IGroupComputer[] over = [];
            if (candidate.Whole is not { } version)
            {
                (var computer, version) = computers.Over(candidate.Adapters, cores.ThreadsPerWorker);
                over = [computer];
            }

            results.Add(await MeasureAsync(candidate.Name, over is [] ? computers.Computers : over, version).ConfigureAwait(false));
        }

        Write(parsed.InvocationConfiguration.Output, before, results, parsed.GetValue(Json));
        return ExitCodes.Success;

        async Task<Result> MeasureAsync(string name, IReadOnlyList<IGroupComputer> over, AdapterVersion version)
        {
            parsed.InvocationConfiguration.Error.WriteLine($"evaluating {name} on {run.Data.HeldOutRows.ToString(CultureInfo.InvariantCulture)} held-out rows");
            return await EvalVerb.MeasureAsync(name, run, over, version, cancellationToken).ConfigureAwait(false);
        }
    }

    // A run that starts by PiSSA or LoftQ leaves an adapter of twice the rank for the base as it was, in full.
    private static PreparedRun OnTheOriginalBase(PreparedRun run)
    {
        if (!StartDifference.Applies(run.Plan.Adapter))
        {
            return run;
        }

        var difference = StartDifference.Of(run.Plan.Layout, run.Plan.Adapter);
        return run with { Plan = run.Plan with { Layout = difference.Layout, Adapter = difference.Settings, Quantization = null } };
    }

    // The base as it is.
    private static AdapterVersion Untrained(PreparedRun run)
    {
        using var weights = WeightSources.Open(run.Plan.BaseModel);
        return AdapterHash.Version(AdapterInitialization.Neutral(run.Plan.Layout, run.Plan.Adapter, RestoredWeights.Of(weights, run.Spec, run.Plan.Quantization)));
    }

    // What is compared with it: all adapters together, and, if asked for, each alone.
    private static ImmutableArray<Candidate> Candidates(PreparedRun run, string[] arguments, bool each)
    {
        if (run.Plan.Adapter.Kind == AdapterKind.Full)
        {
            if (arguments.Length > 1)
            {
                throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"A run that trains every weight leaves one model folder, got {arguments.Length}. Name one with --adapter."));
            }

            using var model = WeightSources.Open(arguments is [var folder] ? folder : Path.Combine(run.Config.OutputFolder, "model"));
            return [new Candidate("adapter", [], AdapterHash.Version(AdapterInitialization.FromBase(run.Plan.Layout, model)))];
        }

        var adapters = AdapterArguments.LoadActive(arguments is [] ? [Path.Combine(run.Config.OutputFolder, "adapter")] : arguments, run.Spec);
        ImmutableArray<Candidate> together = [new Candidate("adapter", adapters, null)];
        return each && adapters.Length > 1 ? [.. together, .. arguments.Zip(adapters, (name, adapter) => new Candidate(name, [adapter], null))] : together;
    }

    private static async Task<Result> MeasureAsync(string name, PreparedRun run, IReadOnlyList<IGroupComputer> computers, AdapterVersion adapter, CancellationToken cancellationToken)
    {
        var losses = await GroupRunner.RunAsync(computers, run.Plan.Groups.EvaluationGroups(0), adapter, cancellationToken).ConfigureAwait(false);
        var generated = await GroupRunner.RunAsync(computers, run.Plan.Groups.GenerationGroups(0), adapter, cancellationToken).ConfigureAwait(false);
        var tokens = losses.Sum(outcome => outcome.TrainedTokens);
        ImmutableArray<ImmutableArray<int>> continuations = [.. generated.SelectMany(outcome => outcome.Continuations)];
        return new Result(name, losses.Sum(outcome => outcome.LossSum) / tokens, tokens, PreparedRun.F1(run.Answers(continuations)));
    }

    private static void Write(TextWriter output, Result before, List<Result> results, bool json)
    {
        var (after, alone) = (results[0], results.Skip(1));
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(new
            {
                loss_before = before.Loss,
                loss_after = after.Loss,
                f1_before = before.F1,
                f1_after = after.F1,
                tokens = after.Tokens,
                each = alone.Select(result => new { adapter = result.Name, loss = result.Loss, f1 = result.F1 }),
            }));
            return;
        }

        output.WriteLine(FormattableString.Invariant($"held-out loss  {before.Loss:0.0000} base, {after.Loss:0.0000} with the adapter ({after.Tokens} tokens)"));
        if (before.F1 is { } f1Before && after.F1 is { } f1After)
        {
            output.WriteLine(FormattableString.Invariant($"token F1       {f1Before:0.000} base, {f1After:0.000} with the adapter"));
        }

        foreach (var result in alone)
        {
            output.WriteLine(FormattableString.Invariant($"{result.Name} alone: loss {result.Loss:0.0000}{(result.F1 is { } f1 ? FormattableString.Invariant($", token F1 {f1:0.000}") : "")}"));
        }
    }

    private sealed record Result(string Name, double Loss, long Tokens, double? F1);

    // Adapters on the base, or all weights.
    private sealed record Candidate(string Name, ImmutableArray<LoadedAdapter> Adapters, AdapterVersion? Whole);
}
