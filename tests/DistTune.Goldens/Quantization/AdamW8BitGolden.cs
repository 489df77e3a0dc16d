using System.Globalization;
using System.Text.Json;
using DistTune.Core.Optimization;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Goldens.Quantization;

/// <summary>AdamW with 8-bit moments, step by step: gradients in, parameters, codes and scales out.</summary>
public sealed class AdamW8BitGolden : IGoldenKind
{
    private const double ParameterTolerance = 1e-6;
    private const double ScaleTolerance = 1e-6;
    private const double CodesOff = 1e-3;

    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        from file in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal)
        where JsonCase.HasAll(JsonCase.Root(file), "lr", "betas", "eps", "weight_decay", "blocksize", "min_8bit_size", "steps")
        let tensors = Path.ChangeExtension(file, ".safetensors")
        where File.Exists(tensors) && TensorFile.NamesIn(tensors).Contains("param_0")
        select GoldenCase.OfFile(file, tensors);

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var options = JsonCase.Root(golden.Path);
        if (options.GetProperty("blocksize").GetInt32() != AdamW8Bit.BlockSize || options.GetProperty("min_8bit_size").GetInt32() != AdamW8Bit.LeastElements)
        {
            throw new GoldenUnsupportedException("blocks or thresholds other than bitsandbytes' own");
        }

        using var file = TensorFile.Open(golden.Files[1]);
        Run(options, file, meter);
        return Task.CompletedTask;
    }

    private static void Run(JsonElement options, TensorFile file, ErrorMeter meter)
    {
        meter.Absolute("qmap1", CodeBook.Dynamic.Values.AsSpan(), file.Floats("qmap1"), 0);
        meter.Absolute("qmap2", CodeBook.DynamicUnsigned.Values.AsSpan(), file.Floats("qmap2"), 0);
        var betas = options.GetProperty("betas");
        var layout = ParameterLayout.Create([new("param", file.Shape("param_0"), 0, 0)]);
        var optimizer = new AdamW8Bit(layout, new OptimizerSettings(
            betas[0].GetDouble(), betas[1].GetDouble(), JsonCase.Number(options, "eps"), JsonCase.Number(options, "weight_decay")));
        var initial = file.Floats("param_0");
        var parameters = new float[layout.Length];
        var gradient = new float[layout.Length];
        initial.CopyTo(parameters, 0);
        for (var step = 1; step <= options.GetProperty("steps").GetInt32(); step++)
        {
            file.Floats(Name("grad", step)).CopyTo(gradient, 0);
            optimizer.Step(parameters, gradient, JsonCase.Number(options, "lr"));
            meter.Absolute(Name("param", step), parameters.AsSpan(0, initial.Length), file.Floats(Name("param", step)), ParameterTolerance);
            if (initial.Length >= AdamW8Bit.LeastElements)
            {
                CompareState(file, meter, step, "1", optimizer.Moment(0, second: false));
                CompareState(file, meter, step, "2", optimizer.Moment(0, second: true));
            }
        }
    }

    private static void CompareState(TensorFile file, ErrorMeter meter, int step, string moment, (byte[] Codes, float[] Scales) state)
    {
        var expected = file.Integers(Name($"state{moment}", step));
        var off = state.Codes.Zip(expected, (code, other) => Math.Abs(code - other)).ToArray();
        meter.Note($"{Name($"state{moment}", step)}: share of codes that differ", (double)off.Count(distance => distance > 0) / off.Length, CodesOff);
        meter.Note($"{Name($"state{moment}", step)}: largest distance of codes", off.Max(), 1);
        var scales = file.Floats(Name($"absmax{moment}", step));
        var largest = state.Scales.Zip(scales, (scale, other) => Math.Abs(scale - other) / Math.Max(Math.Abs(other), 1e-30f)).Max();
        meter.Note(Name($"absmax{moment}", step), largest, ScaleTolerance);
    }

    private static string Name(string prefix, int step) => string.Create(CultureInfo.InvariantCulture, $"{prefix}_{step}");
}
