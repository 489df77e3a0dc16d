using System.Globalization;
using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Optimization;
using DistTune.Core.Quantization;
using DistTune.Core.Training;
using DistTune.Goldens.Models;
using DistTune.Modeling;

namespace DistTune.Goldens.Quantization;

/// <summary>A QLoRA run of the reference: loss and gradient norm of every step, and the adapter in the end.</summary>
public sealed class QloraGolden : IGoldenKind
{
    private const double LossTolerance = 1.5e-5;
    private const double NormTolerance = 5e-6;
    private const double AdapterTolerance = 1.5e-5;

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        JsonCase.HasAll(File.Exists(Path.Combine(folder, "case.json")) ? JsonCase.Root(Path.Combine(folder, "case.json")) : default, "r", "alpha", "base", "quant", "clip", "steps")
            ? [GoldenCase.OfFolder(folder)]
            : [];

    /// <inheritdoc />
    public async Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var root = JsonCase.Root(Path.Combine(golden.Path, "case.json"));
        var baseFolder = Path.GetFullPath(Path.Combine(golden.Path, root.GetProperty("base").GetString()!));
        var spec = GoldenModels.Describe(baseFolder);
        var adapter = PeftAdapter.Load(Path.Combine(golden.Path, "adapter_init"));
        var layout = AdapterLayout.Create(spec, adapter.Settings);
        using var weights = new QuantizingWeights(WeightSources.Open(baseFolder), spec, Settings(root.GetProperty("quant").GetString()!));
        using var model = BaseModel.Load(weights, spec, keepsFourBit: true);
        var parameters = adapter.ToVector(layout);
        await TrainAsync(golden.Path, root, model, layout, adapter.Settings, parameters, meter, cancellationToken).ConfigureAwait(false);

        using var final = TensorFile.Open(Path.Combine(golden.Path, "adapter_final", PeftAdapter.WeightsName));
        meter.Equal("number of final tensors", final.Names.Count(), layout.Entries.Length);
        foreach (var entry in layout.Entries)
        {
            meter.Absolute($"final {entry.Name}", parameters.AsSpan((int)entry.Offset, (int)entry.Length), final.Floats(entry.Name), AdapterTolerance);
        }
    }

    private static async Task TrainAsync(
        string folder, JsonElement root, BaseModel model, ParameterLayout layout, AdapterSettings settings, float[] parameters, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var betas = root.GetProperty("betas");
        var optimizer = new AdamW(layout, new OptimizerSettings(
            betas[0].GetDouble(), betas[1].GetDouble(), JsonCase.Number(root, "eps"), JsonCase.Number(root, "weight_decay")));
        var rows = JsonCase.Lines(Path.Combine(folder, "steps.jsonl"));
        using var batches = TensorFile.Open(Path.Combine(folder, "batches.safetensors"));
        await using var runner = new GroupRunner(model, layout, settings, gradientCheckpointing: true);
        for (var step = 0; step < root.GetProperty("steps").GetInt32(); step++)
        {
            var batch = PaddedBatch.Read(batches, suffix: string.Create(CultureInfo.InvariantCulture, $"_{step}"));
            var (lossSum, gradient) = await runner.TrainAsync(batch.Segments, AdapterHash.Version(parameters.ToArray()), cancellationToken).ConfigureAwait(false);
            for (var index = 0; index < gradient.Length; index++)
            {
                gradient[index] /= batch.ValidTokens;
            }

            var norm = GradientClipping.Norm(gradient);
            var row = rows[step];
            var at = string.Create(CultureInfo.InvariantCulture, $"at step {step + 1}");
            meter.Equal($"tokens {at}", batch.ValidTokens, row.GetProperty("tokens").GetInt64());
            meter.Absolute($"loss {at}", lossSum / batch.ValidTokens, JsonCase.Number(row, "loss"), LossTolerance);
            meter.Absolute($"grad_norm {at}", norm, JsonCase.Number(row, "grad_norm"), NormTolerance);
            optimizer.Step(parameters, gradient, JsonCase.Number(row, "lr"), GradientClipping.Factor(norm, JsonCase.Number(root, "clip")));
        }
    }

    // Such as "nf4, blocksize 64, double quant, compute fp32".
    private static FourBitSettings Settings(string text)
    {
        var parts = text.Split(',', StringSplitOptions.TrimEntries);
        var kind = parts[0] switch
        {
            "nf4" => FourBitKind.Nf4,
            "fp4" => FourBitKind.Fp4,
            var other => throw new GoldenUnsupportedException($"quant: {other}"),
        };
        var size = parts.FirstOrDefault(part => part.StartsWith("blocksize ", StringComparison.Ordinal)) is { } named
            ? int.Parse(named["blocksize ".Length..], CultureInfo.InvariantCulture)
            : new FourBitSettings().BlockSize;
        return new FourBitSettings(kind, size, parts.Contains("double quant", StringComparer.Ordinal));
    }
}
