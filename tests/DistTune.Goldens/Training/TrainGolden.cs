using System.Globalization;
using System.Text.Json;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Numerics;
using DistTune.Core.Optimization;
using DistTune.Core.Training;
using DistTune.Goldens.Models;
using DistTune.Modeling;

namespace DistTune.Goldens.Training;

/// <summary>A training run of a reference implementation: loss, gradient norm and rate of every step, and what was trained in the end.</summary>
internal sealed class TrainGolden : IGoldenKind
{
    private const string CaseName = "case.json";
    private const double RateTolerance = 1e-9;

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        var path = Path.Combine(folder, CaseName);
        var root = File.Exists(path) ? JsonCase.Root(path) : default;
        return JsonCase.HasAll(root, "steps", "micro_batches", "optimizer", "schedule", "model", "peft")
            ? [GoldenCase.OfFolder(folder)]
            : [];
    }

    /// <inheritdoc/>
    public async Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(Path.Combine(golden.Path, CaseName));
        var trainCase = new TrainCase(root);
        trainCase.CheckSupported();
        var modelFolder = GoldenModels.Find(golden.Path, trainCase.Model);
        var spec = GoldenModels.Describe(modelFolder);
        using var weights = WeightSources.Open(modelFolder);
        var (settings, plain, load) = Start(golden.Path, trainCase, spec, weights);
        var layout = trainCase.Grouped(plain);
        var initial = load(layout);
        using var model = trainCase.TrainsAllWeights
            ? BaseModel.WithoutWeights(spec)
            : BaseModel.Load(Base(weights, layout, settings, initial), spec, trainCase.BaseInBFloat16 ? BasePrecision.BFloat16 : BasePrecision.Float32);
        var run = new TrainRun(model, layout, settings, trainCase, initial);
        await using (run.ConfigureAwait(false))
        {
            await CompareStepsAsync(golden.Path, trainCase, run, meter, cancellationToken).ConfigureAwait(false);
        }

        CompareFinal(golden.Path, trainCase, layout, run.Parameters, meter);
        CompareProbe(golden.Path, trainCase, run, meter);
    }

    // A start that is the base's principal part has been taken out of the base.
    private static IWeightSource Base(IWeightSource weights, ParameterLayout layout, AdapterSettings settings, float[] initial) =>
        settings.Start == LoraStart.Pissa ? PissaStart.Rest(weights, layout, settings, initial) : weights;

    private static (AdapterSettings Settings, ParameterLayout Layout, Func<ParameterLayout, float[]> Load) Start(string folder, TrainCase trainCase, DecoderSpec spec, IWeightSource weights)
    {
        if (trainCase.TrainsAllWeights)
        {
            var all = new AdapterSettings(AdapterKind.Full, 1, 1, []);
            return (all, AdapterLayout.Create(spec, all), layout => AdapterInitialization.FromBase(layout, weights));
        }

        try
        {
            var adapter = PeftAdapter.Load(Path.Combine(folder, "adapter_init"));
            return (adapter.Settings, AdapterLayout.Create(spec, adapter.Settings), layout => adapter.ToVector(layout));
        }
        catch (DistTuneException fault) when (fault.Kind == FaultKind.Configuration)
        {
            throw new GoldenUnsupportedException(fault.Message);
        }
    }

    private static async Task CompareStepsAsync(string folder, TrainCase trainCase, TrainRun run, ErrorMeter meter, CancellationToken cancellationToken)
    {
        using var batches = TensorFile.Open(Path.Combine(folder, "batches.safetensors"));
        var rows = JsonCase.Lines(Path.Combine(folder, "steps.jsonl"));
        meter.Equal("number of steps", rows.Count, trainCase.Steps);
        for (var step = 0; step < trainCase.Steps; step++)
        {
            var prefixes = Enumerable.Range(0, trainCase.MicroBatches).Select(index => Prefix(batches, step, index));
            var result = await run.StepAsync(step, [.. prefixes.Select(prefix => PaddedBatch.Read(batches, prefix))], cancellationToken).ConfigureAwait(false);
            CompareStep(rows[step], step, result, trainCase, meter);
        }
    }

    private static void CompareStep(JsonElement row, int step, TrainStep result, TrainCase trainCase, ErrorMeter meter)
    {
        var at = string.Create(CultureInfo.InvariantCulture, $"at step {step}");
        meter.Equal($"valid_tokens {at}", result.ValidTokens, row.GetProperty("valid_tokens").GetInt64());
        meter.Absolute($"loss {at}", result.Loss, JsonCase.Number(row, "loss"), trainCase.Tolerance("loss_abs"));
        meter.Relative($"grad_norm {at}", result.GradientNorm, JsonCase.Number(row, "grad_norm"), trainCase.Tolerance("grad_norm_rel"));
        meter.Relative($"param_norm {at}", result.ParameterNorm, JsonCase.Number(row, "param_norm"), trainCase.Tolerance("param_norm_rel"));
        meter.Absolute($"rate {at}", result.Rate, JsonCase.Number(row, "lr"), RateTolerance);
    }

    // Steps are numbered with as many digits as the writer liked.
    private static string Prefix(TensorFile batches, int step, int microBatch)
    {
        foreach (var digits in (string[])["D2", "D1", "D3", "D4"])
        {
            var prefix = $"s{step.ToString(digits, CultureInfo.InvariantCulture)}.m{microBatch.ToString(CultureInfo.InvariantCulture)}.";
            if (batches.Has($"{prefix}input_ids"))
            {
                return prefix;
            }
        }

        throw new InvalidDataException($"There is no batch of step {step}, micro-batch {microBatch}.");
    }

    private static void CompareFinal(string folder, TrainCase trainCase, ParameterLayout layout, float[] actual, ErrorMeter meter)
    {
        var path = trainCase.TrainsAllWeights ? Path.Combine(folder, "final.safetensors") : Path.Combine(folder, "adapter_final", PeftAdapter.WeightsName);
        using var expected = TensorFile.Open(path);
        // Second names of tied tensors and the frozen matrices of an embedding or a head stand beside what is trained.
        var trained = expected.Names.Except(layout.Entries.SelectMany(entry => entry.Aliases), StringComparer.Ordinal).Count(name => !name.EndsWith(".base_layer.weight", StringComparison.Ordinal));
        meter.Equal("number of final tensors", trained, layout.Entries.Length);
        double square = 0;
        long count = 0;
        foreach (var entry in layout.Entries)
        {
            var values = actual.AsSpan((int)entry.Offset, (int)entry.Length);
            var golden = expected.Floats(entry.Name);
            meter.Absolute($"final {entry.Name}", values, golden, trainCase.Tolerance("final_tensor_abs"));
            for (var index = 0; index < golden.Length; index++)
            {
                var difference = (double)values[index] - golden[index];
                square += difference * difference;
            }

            count += golden.Length;
        }

        meter.Note("root mean square of all final tensors' differences", Math.Sqrt(square / count), trainCase.Tolerance("final_tensor_rms"));
    }

    private static void CompareProbe(string folder, TrainCase trainCase, TrainRun run, ErrorMeter meter)
    {
        var path = Path.Combine(folder, "merged_logits.safetensors");
        if (!File.Exists(path))
        {
            return;
        }

        using var probe = TensorFile.Open(path);
        var batch = PaddedBatch.Read(probe);
        meter.Absolute("logits of the probe", run.Logits(batch), batch.Unpad(probe.Floats("logits")), trainCase.Tolerance("probe_logits_abs"));
    }
}
