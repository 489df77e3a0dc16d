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

namespace DistTune.Cli.Verbs;

/// <summary><c>disttune eval</c>: what an adapter is worth on rows it never saw.</summary>
internal static class EvalVerb
{
    private static readonly Argument<string> File = new("config") { Description = "The run's YAML file." };
    private static readonly Option<string?> Adapter = new("--adapter") { Description = "PEFT folder; the run's own by default.", HelpName = "PATH" };
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
            """)
        {
            File, Adapter, Threads, Json,
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
        var (untrained, trained) = Versions(run, parsed.GetValue(Adapter));
        var error = parsed.InvocationConfiguration.Error;
        await using var computers = LocalComputers.Load(run, Cores.Share(1, parsed.GetValue(Threads)));
        var results = new List<Result>();
        foreach (var (name, version) in new[] { ("base", untrained), ("adapter", trained) })
        {
            error.WriteLine($"evaluating {name} on {run.Data.HeldOutRows.ToString(CultureInfo.InvariantCulture)} held-out rows");
            results.Add(await MeasureAsync(run, computers.Computers, version, cancellationToken).ConfigureAwait(false));
        }

        Write(parsed.InvocationConfiguration.Output, results[0], results[1], parsed.GetValue(Json));
        return ExitCodes.Success;
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

    // The base as it is, and what was trained on it.
    private static (AdapterVersion Untrained, AdapterVersion Trained) Versions(PreparedRun run, string? folder)
    {
        var plan = run.Plan;
        using var weights = WeightSources.Open(plan.BaseModel);
        var untrained = AdapterHash.Version(AdapterInitialization.Neutral(plan.Layout, plan.Adapter, RestoredWeights.Of(weights, run.Spec, plan.Quantization)));
        if (plan.Adapter.Kind == AdapterKind.Full)
        {
            using var model = WeightSources.Open(folder ?? Path.Combine(run.Config.OutputFolder, "model"));
            return (untrained, AdapterHash.Version(AdapterInitialization.FromBase(plan.Layout, model)));
        }

        folder ??= Path.Combine(run.Config.OutputFolder, "adapter");
        var peft = PeftAdapter.Load(folder);
        peft.RequireUnchangedBase();
        peft.RequireScales(plan.Layout, plan.Adapter);
        return (untrained, AdapterHash.Version(peft.ToVector(plan.Layout)));
    }

    private static async Task<Result> MeasureAsync(PreparedRun run, IReadOnlyList<IGroupComputer> computers, AdapterVersion adapter, CancellationToken cancellationToken)
    {
        var losses = await GroupRunner.RunAsync(computers, run.Plan.Groups.EvaluationGroups(0), adapter, cancellationToken).ConfigureAwait(false);
        var generated = await GroupRunner.RunAsync(computers, run.Plan.Groups.GenerationGroups(0), adapter, cancellationToken).ConfigureAwait(false);
        var tokens = losses.Sum(outcome => outcome.TrainedTokens);
        ImmutableArray<ImmutableArray<int>> continuations = [.. generated.SelectMany(outcome => outcome.Continuations)];
        return new Result(losses.Sum(outcome => outcome.LossSum) / tokens, tokens, PreparedRun.F1(run.Answers(continuations)));
    }

    private static void Write(TextWriter output, Result before, Result after, bool json)
    {
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(new
            {
                loss_before = before.Loss,
                loss_after = after.Loss,
                f1_before = before.F1,
                f1_after = after.F1,
                tokens = after.Tokens,
            }));
            return;
        }

        output.WriteLine(FormattableString.Invariant($"held-out loss  {before.Loss:0.0000} base, {after.Loss:0.0000} with the adapter ({after.Tokens} tokens)"));
        if (before.F1 is { } f1Before && after.F1 is { } f1After)
        {
            output.WriteLine(FormattableString.Invariant($"token F1       {f1Before:0.000} base, {f1After:0.000} with the adapter"));
        }
    }

    private sealed record Result(double Loss, long Tokens, double? F1);
}
