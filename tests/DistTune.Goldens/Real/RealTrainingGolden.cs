using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Goldens.Real;

/// <summary>
/// A LoRA run on a real base: loss and gradient norm of every step, the evaluation before and after, and the adapter's final tensors.
/// Each row is a group of its own.
/// </summary>
internal sealed class RealTrainingGolden : IGoldenKind
{
    // The goldens' README: optimizer and bound on the gradient, then the tolerances. Single values: ten times what fp64 differs by.
    private const double MaximumNorm = 1;
    private const double LossTolerance = 1e-4;
    private const double GradientNormTolerance = 5e-4;
    private const double FinalNormTolerance = 1e-3;
    private const double FinalValueTolerance = 2e-4;
    private const double RateTolerance = 1e-9;

    private static readonly OptimizerSettings Optimizer = new();

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) => RealTrainingCase.Find(folder) is null ? [] : [GoldenCase.OfFolder(folder)];

    /// <inheritdoc/>
    public async Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var run = RealTrainingCase.Find(golden.Path)!;
        var real = RealModels.Of(golden.Path);
        var adapter = PeftAdapter.Load(run.Adapter);
        var layout = AdapterLayout.Create(real.Model.Spec, adapter.Settings);
        var parameters = adapter.ToVector(layout, zeroMissingB: true);
        var runner = new GroupRunner(real.Model, layout, adapter.Settings, gradientCheckpointing: false, RealModels.Lanes);
        await using (runner.ConfigureAwait(false))
        {
            await EvaluateAsync("eval_before", run, runner, parameters, meter, cancellationToken).ConfigureAwait(false);
            await TrainAsync(run, runner, layout, parameters, meter, cancellationToken).ConfigureAwait(false);
            await EvaluateAsync("eval_after", run, runner, parameters, meter, cancellationToken).ConfigureAwait(false);
        }

        CompareFinal(run.Final, layout, parameters, meter);
    }

    private static async Task TrainAsync(RealTrainingCase run, GroupRunner runner, ParameterLayout layout, float[] parameters, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var optimizer = new AdamW(layout, Optimizer);
        var schedule = new LearningRateSchedule(new ScheduleSettings(ScheduleKind.Linear, JsonCase.Number(run.Steps[0], "lr"), 0, run.Steps.Count));
        for (var step = 0; step < run.Steps.Count; step++)
        {
            var row = run.Steps[step];
            var at = string.Create(CultureInfo.InvariantCulture, $"at step {step}");
            var (lossSum, gradient) = await GradientAsync(run.Batches[step], runner, AdapterHash.Version(parameters.ToArray()), cancellationToken).ConfigureAwait(false);
            long valid = run.Batches[step].Sum(segment => segment.TrainedTokens);
            for (var index = 0; index < gradient.Length; index++)
            {
                gradient[index] /= valid;
            }

            var norm = GradientClipping.Norm(gradient);
            meter.Equal($"valid_tokens {at}", valid, row.GetProperty("valid_tokens").GetInt64());
            meter.Absolute($"loss {at}", lossSum / valid, JsonCase.Number(row, "loss"), LossTolerance);
            meter.Relative($"grad_norm {at}", norm, JsonCase.Number(row, "grad_norm"), GradientNormTolerance);
            meter.Absolute($"rate {at}", schedule.RateAt(step), JsonCase.Number(row, "lr"), RateTolerance);
            optimizer.Step(parameters, gradient, schedule.RateAt(step), GradientClipping.Factor(norm, MaximumNorm));
        }
    }

    private static async Task<(double LossSum, float[] Gradient)> GradientAsync(ImmutableArray<Segment> rows, GroupRunner runner, AdapterVersion version, CancellationToken cancellationToken)
    {
        var parts = await Task.WhenAll(rows.Select(row => runner.TrainAsync([row], version, cancellationToken))).ConfigureAwait(false);
        var gradient = parts[0].Gradient;
        foreach (var part in parts.Skip(1))
        {
            for (var index = 0; index < gradient.Length; index++)
            {
                gradient[index] += part.Gradient[index];
            }
        }

        return (parts.Sum(part => part.LossSum), gradient);
    }

    private static async Task EvaluateAsync(string when, RealTrainingCase run, GroupRunner runner, float[] parameters, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var version = AdapterHash.Version(parameters.ToArray());
        var sums = await Task.WhenAll(run.HeldOut.Select(row => runner.EvaluateAsync([row], version, cancellationToken))).ConfigureAwait(false);
        long valid = run.HeldOut.Sum(segment => segment.TrainedTokens);
        meter.Equal($"{when}: valid_tokens", valid, run.Final.GetProperty(when).GetProperty("valid_tokens").GetInt64());
        meter.Absolute($"{when}: nll", sums.Sum() / valid, JsonCase.Number(run.Final, when, "nll"), LossTolerance);
    }

    private static void CompareFinal(JsonElement final, ParameterLayout layout, float[] parameters, ErrorMeter meter)
    {
        meter.Equal("trainable_parameters", layout.Entries.Sum(entry => entry.Length), final.GetProperty("trainable_parameters").GetInt64());
        var tensors = final.GetProperty("adapter");
        meter.Equal("number of final tensors", tensors.EnumerateObject().Count(), layout.Entries.Length);
        foreach (var entry in layout.Entries)
        {
            var expected = tensors.GetProperty(entry.Name);
            var values = parameters.AsSpan((int)entry.Offset, (int)entry.Length);
            var first = expected.GetProperty("first8").EnumerateArray().Select(value => value.GetSingle()).ToArray();
            meter.Relative($"final norm of {entry.Name}", GradientClipping.Norm(values), JsonCase.Number(expected, "l2"), FinalNormTolerance);
            meter.Absolute($"final values of {entry.Name}", values[..first.Length], first, FinalValueTolerance);
        }
    }
}
