using System.Globalization;
using DistTune.Core.Configuration;
using DistTune.Core.Planning;
using DistTune.Core.Training;
using Spectre.Console;

namespace DistTune.Cli.Output;

/// <summary>What a run is about to do, before any time is spent.</summary>
internal static class Banner
{
    /// <summary>Writes the banner.</summary>
    /// <param name="console">Where to.</param>
    /// <param name="run">The run.</param>
    /// <param name="workers">Workers that compute it.</param>
    /// <param name="threads">Threads of each.</param>
    public static void Write(IAnsiConsole console, PreparedRun run, int workers, int threads)
    {
        var (plan, config, data) = (run.Plan, run.Config, run.Data);
        var modules = plan.Layout.Entries.Count(entry => entry.Name.EndsWith(AdapterLayout.SuffixA, StringComparison.Ordinal));
        Row(console, "base", $"{plan.BaseModel} ({run.Spec.Family}, {Count(run.BaseParameters)} parameters, held in {(plan.BaseInBFloat16 ? "bf16" : "fp32")}{(plan.Quantization is { } quantization ? $", layers in {quantization.Tag}" : "")})");
        Row(console, "adapter", plan.Adapter.Kind == AdapterKind.Full
            ? (FormattableString)$"none: {Count(plan.Layout.ParameterCount)} parameters of the base are trained themselves"
            : $"{(plan.Quantization is null ? "LoRA" : "QLoRA")} r {plan.Adapter.Rank}, alpha {plan.Adapter.Alpha} on {modules} modules: {Count(plan.Layout.ParameterCount)} trained, {(double)plan.Layout.ParameterCount / run.BaseParameters:0.00%} of the base");
        if (run.InitialNotice is { } notice)
        {
            Row(console, "start", $"{notice}");
        }

        Row(console, "data", $"{data.TrainingRows} rows, {Count(data.Tokens)} tokens, {data.TrainedShare:0.0%} of them trained; {data.HeldOutRows} rows held out{Dropped(data)}");
        Row(console, "batch", $"{config.MicroBatchSize} rows x {config.GradientAccumulationSteps} groups = {config.MicroBatchSize * config.GradientAccumulationSteps} rows a step, shared by {workers} {(workers == 1 ? "worker" : "workers")} x {threads} {(threads == 1 ? "thread" : "threads")}");
        Row(console, "steps", $"{plan.Steps} ({(double)plan.Steps / plan.StepsPerEpoch:0.##} epochs of {plan.StepsPerEpoch}), {config.Values["lr_scheduler"].Value} to {plan.Schedule.LearningRate:0.######e0}, warmup {plan.Schedule.WarmupSteps}");
        Row(console, "output", $"{config.OutputFolder}");
    }

    /// <summary>A number with a unit that is read at a glance.</summary>
    public static string Count(long value) => value switch
    {
        >= 1_000_000_000 => (value / 1e9).ToString("0.00 G", CultureInfo.InvariantCulture),
        >= 1_000_000 => (value / 1e6).ToString("0.00 M", CultureInfo.InvariantCulture),
        >= 10_000 => (value / 1e3).ToString("0.0 k", CultureInfo.InvariantCulture),
        _ => value.ToString(CultureInfo.InvariantCulture),
    };

    private static string Dropped(DataSummary data)
    {
        var truncated = data.TruncatedRows > 0 ? FormattableString.Invariant($"; {data.TruncatedRows} cut to the sequence length") : "";
        return data.DroppedRows > 0 ? FormattableString.Invariant($"; {data.DroppedRows} without a trained token dropped{truncated}") : truncated;
    }

    private static void Row(IAnsiConsole console, string name, FormattableString text)
    {
        console.Markup($"[grey]{name,-8}[/] ");
        console.WriteLine(text.ToString(CultureInfo.InvariantCulture));
    }
}
