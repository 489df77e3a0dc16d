using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Training;
using DistTune.Modeling;

namespace DistTune.Goldens.Models;

/// <summary>
/// A model folder with the numbers of a reference run: hidden states, logits, loss, the gradient of every weight, greedy generation
/// with and without cache. The same numbers are required of every other configuration file that lies beside <c>config.json</c>.
/// </summary>
internal sealed class ModelGolden : IGoldenKind
{
    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        if (!File.Exists(Path.Combine(folder, ModelFamilies.ConfigName)))
        {
            return [];
        }

        return Directory.EnumerateFiles(folder, "*.json")
            .Order(StringComparer.Ordinal)
            .Where(path => JsonCase.HasAll(JsonCase.Root(path), "loss_sum", "tolerance") && File.Exists(TensorsOf(path)))
            .Select(path => GoldenCase.OfFolder(folder, Path.GetFileNameWithoutExtension(path)));
    }

    /// <inheritdoc/>
    public async Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var expected = JsonCase.Root(Path.Combine(golden.Path, $"{golden.Part}.json"));
        using var tensors = TensorFile.Open(Path.Combine(golden.Path, $"{golden.Part}.safetensors"));
        var spec = GoldenModels.Describe(golden.Path);
        var batch = PaddedBatch.Read(tensors);
        CheckPositions(tensors, batch);
        using var weights = WeightSources.Open(golden.Path);
        var details = Forward(weights, spec, batch);
        CompareForward(details, tensors, batch, expected, meter);
        CompareOtherConfigurations(golden.Path, weights, spec, batch, details, meter);
        await CompareTrainingAsync(weights, spec, batch, expected, meter, cancellationToken).ConfigureAwait(false);
    }

    private static string TensorsOf(string json) => Path.ChangeExtension(json, ".safetensors");

    private static ForwardDetails Forward(IWeightSource weights, DecoderSpec spec, PaddedBatch batch)
    {
        using var model = BaseModel.Load(weights, spec, GoldenModels.PrecisionOf(weights));
        return ForwardDetails.Compute(model, batch.Segments);
    }

    private static void CheckPositions(TensorFile tensors, PaddedBatch batch)
    {
        if (tensors.Has("position_ids") && tensors.Integers("position_ids").Where((position, index) => position != index % batch.Width).Any())
        {
            throw new GoldenUnsupportedException("position_ids that do not count from 0 in every row");
        }
    }

    private static void CompareForward(ForwardDetails details, TensorFile tensors, PaddedBatch batch, JsonElement expected, ErrorMeter meter)
    {
        var hiddenTolerance = JsonCase.Number(expected, "tolerance", "hidden_abs");
        for (var index = 0; index < details.Hidden.Length; index++)
        {
            meter.Absolute($"hidden.{index}", details.Hidden[index], batch.Unpad(tensors.Floats($"hidden.{index}")), hiddenTolerance);
        }

        meter.Absolute("hidden.norm", details.Normed, batch.Unpad(tensors.Floats("hidden.norm")), hiddenTolerance);
        meter.Absolute("logits", details.Logits, batch.Unpad(tensors.Floats("logits")), JsonCase.Number(expected, "tolerance", "logits_abs"));
    }

    private static void CompareOtherConfigurations(string folder, IWeightSource weights, DecoderSpec spec, PaddedBatch batch, ForwardDetails details, ErrorMeter meter)
    {
        foreach (var path in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal))
        {
            var root = JsonCase.Root(path);
            if (!JsonCase.HasAll(root, "architectures") || Path.GetFileName(path) == ModelFamilies.ConfigName)
            {
                continue;
            }

            var other = Forward(weights, GoldenModels.Unbounded(ModelFamilies.Describe(root, path)) with { EndTokens = spec.EndTokens }, batch);
            meter.Absolute($"logits with {Path.GetFileName(path)}", other.Logits, details.Logits, 0);
        }
    }

    private static async Task CompareTrainingAsync(IWeightSource weights, DecoderSpec spec, PaddedBatch batch, JsonElement expected, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var settings = new AdapterSettings(AdapterKind.Full, 1, 1, []);
        var layout = AdapterLayout.Create(spec, settings);
        var version = AdapterHash.Version(AdapterInitialization.FromBase(layout, weights));
        using var model = BaseModel.WithoutWeights(spec);
        await using var runner = new GroupRunner(model, layout, settings, gradientCheckpointing: false);
        var (lossSum, gradient) = await runner.TrainAsync(batch.Segments, version, cancellationToken).ConfigureAwait(false);

        meter.Equal("valid_tokens", batch.ValidTokens, expected.GetProperty("valid_tokens").GetInt64());
        await CompareLossSumAsync(spec, layout, settings, version, batch, expected, meter, cancellationToken).ConfigureAwait(false);
        meter.Absolute("loss_mean", lossSum / batch.ValidTokens, JsonCase.Number(expected, "loss_mean"), JsonCase.Number(expected, "tolerance", "loss_abs"));
        CompareGradients(layout, gradient, batch.ValidTokens, expected, meter);
        if (expected.TryGetProperty("generation", out var generations))
        {
            await CompareGenerationAsync(weights, spec, runner, version, generations, meter, cancellationToken).ConfigureAwait(false);
        }
    }

    // The tolerance of the sum is a multiple of one fp32 run's distance from fp64, which is luck and may be a hundredth of what rounding
    // does to a sum of this size; the mean is compared in fp32, the sum by the same kernels in fp64.
    private static async Task CompareLossSumAsync(
        DecoderSpec spec,
        ParameterLayout layout,
        AdapterSettings settings,
        AdapterVersion version,
        PaddedBatch batch,
        JsonElement expected,
        ErrorMeter meter,
        CancellationToken cancellationToken)
    {
        using var model = BaseModel.InDouble(spec);
        await using var runner = new GroupRunner(model, layout, settings, gradientCheckpointing: false);
        var (lossSum, _) = await runner.TrainAsync(batch.Segments, version, cancellationToken).ConfigureAwait(false);
        meter.Absolute("loss_sum in fp64", lossSum, JsonCase.Number(expected, "loss_sum"), JsonCase.Number(expected, "tolerance", "loss_sum_abs"));
    }

    private static void CompareGradients(ParameterLayout layout, float[] gradient, long validTokens, JsonElement expected, ErrorMeter meter)
    {
        if (!expected.TryGetProperty("gradients", out var gradients))
        {
            return;
        }

        if (expected.TryGetProperty("grad_of", out var of) && of.GetString() != "loss_mean")
        {
            throw new GoldenUnsupportedException($"gradients of {of.GetString()}; loss_mean is known");
        }

        var entries = layout.Entries.ToDictionary(entry => entry.Name, StringComparer.Ordinal);
        meter.Equal("number of gradients", gradients.EnumerateObject().Count(), entries.Count);
        foreach (var item in gradients.EnumerateObject())
        {
            var entry = entries[item.Name];
            var values = gradient.AsSpan((int)entry.Offset, (int)entry.Length);
            double square = 0;
            foreach (var value in values)
            {
                square += (double)value * value;
            }

            meter.Relative($"norm of gradient of {item.Name}", Math.Sqrt(square) / validTokens, JsonCase.Number(item.Value, "norm"), JsonCase.Number(expected, "tolerance", "grad_norm_rel"));
            var index = 0;
            foreach (var first in item.Value.GetProperty("first4").EnumerateArray())
            {
                meter.Absolute($"gradient of {item.Name}", (double)values[index++] / validTokens, first.GetDouble(), JsonCase.Number(expected, "tolerance", "grad_abs"));
            }
        }
    }

    private static async Task CompareGenerationAsync(
        IWeightSource weights,
        DecoderSpec spec,
        GroupRunner runner,
        AdapterVersion version,
        JsonElement generations,
        ErrorMeter meter,
        CancellationToken cancellationToken)
    {
        using var model = BaseModel.Load(weights, spec, GoldenModels.PrecisionOf(weights));
        foreach (var generation in generations.EnumerateArray())
        {
            var prompt = generation.GetProperty("prompt").EnumerateArray().Select(token => token.GetInt32()).ToImmutableArray();
            var tokens = generation.GetProperty("new_tokens").EnumerateArray().Select(token => token.GetInt32()).ToImmutableArray();
            var cached = await runner.ContinueAsync(prompt, tokens.Length, version, cancellationToken).ConfigureAwait(false);
            meter.Equal("greedy tokens with cache", Text(cached), Text(tokens));
            meter.Equal("greedy tokens without cache", Text(GoldenModels.ContinueWithoutCache(model, prompt, tokens.Length)), Text(tokens));
        }
    }

    private static string Text(ImmutableArray<int> tokens) => string.Join(' ', tokens);
}
