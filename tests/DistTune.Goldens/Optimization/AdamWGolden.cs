using System.Globalization;
using System.Text.Json;
using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Goldens.Optimization;

/// <summary>AdamW step by step: options in a JSON file, gradients and states in a safetensors file of the same name.</summary>
public sealed class AdamWGolden : IGoldenKind
{
    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        from file in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal)
        where JsonCase.HasAll(JsonCase.Root(file), "lr", "betas", "eps", "weight_decay", "amsgrad", "steps", "tolerance")
        let tensors = Path.ChangeExtension(file, ".safetensors")
        where File.Exists(tensors) && TensorFile.NamesIn(tensors).Contains("param.init")
        select GoldenCase.OfFile(file, tensors);

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var options = JsonCase.Root(golden.Path);
        if (options.GetProperty("amsgrad").GetBoolean())
        {
            throw new GoldenUnsupportedException("AMSGrad");
        }

        using var tensors = TensorFile.Open(golden.Files[1]);
        Run(options, tensors, meter, cancellationToken);
        return Task.CompletedTask;
    }

    private static void Run(JsonElement options, TensorFile tensors, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var betas = options.GetProperty("betas");
        var layout = ParameterLayout.Create([new("param", tensors.Shape("param.init"), 0, 0)]);
        var optimizer = new AdamW(layout, new OptimizerSettings(
            betas[0].GetDouble(), betas[1].GetDouble(), JsonCase.Number(options, "eps"), JsonCase.Number(options, "weight_decay")));
        var steps = options.GetProperty("steps").GetInt32();
        var tolerance = options.GetProperty("tolerance");
        var rate = JsonCase.Number(options, "lr");
        var values = tensors.Floats("param.init");
        var count = values.Length;
        var parameters = Padded(values, layout);

        // torch updates its moments in place; a file whose makers kept references holds the last state under every step's name.
        var momentsOfEveryStep = steps < 2 || !tensors.Floats(Name("exp_avg", 0)).AsSpan().SequenceEqual(tensors.Floats(Name("exp_avg", steps - 1)));
        for (var step = 0; step < steps; step++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            optimizer.Step(parameters, Padded(tensors.Floats(Name("grad", step)), layout), rate);
            meter.Absolute(Name("param", step), parameters.AsSpan(0, count), tensors.Floats(Name("param", step)), JsonCase.Number(tolerance, "param_abs"));
            if (momentsOfEveryStep || step == steps - 1)
            {
                Compare(meter, Name("exp_avg", step), optimizer.FirstMoment.Span, tensors, JsonCase.Number(tolerance, "exp_avg_rel"));
                Compare(meter, Name("exp_avg_sq", step), optimizer.SecondMoment.Span, tensors, JsonCase.Number(tolerance, "exp_avg_sq_rel"));
            }
        }
    }

    private static void Compare(ErrorMeter meter, string name, ReadOnlySpan<float> actual, TensorFile tensors, double tolerance)
    {
        var expected = tensors.Floats(name);
        for (var i = 0; i < expected.Length; i++)
        {
            meter.Relative(name, actual[i], expected[i], tolerance);
        }
    }

    private static float[] Padded(float[] values, ParameterLayout layout)
    {
        var flat = new float[layout.Length];
        values.CopyTo(flat, 0);
        return flat;
    }

    private static string Name(string name, int step) => string.Create(CultureInfo.InvariantCulture, $"{name}.{step:00}");
}
