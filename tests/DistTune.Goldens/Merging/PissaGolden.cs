using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Core.Numerics;
using DistTune.Goldens.Models;

namespace DistTune.Goldens.Merging;

/// <summary>
/// The start of a PiSSA run: the product of the factors, what is left of the base, and the trained adapter as plain LoRA. Signs of
/// singular vectors are free, so factors themselves are not compared.
/// </summary>
internal sealed class PissaGolden : IGoldenKind
{
    private const string CaseName = "case.json";
    private const string ResidualName = "base_residual.safetensors";
    private const double Noise = 20;
    private const double SingleEpsilon = 1.1920929e-7;

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        File.Exists(Path.Combine(folder, ResidualName)) && JsonCase.HasAll(JsonCase.Root(Path.Combine(folder, CaseName)), "model", "peft")
            ? [GoldenCase.OfFolder(folder, "start")]
            : [];

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(Path.Combine(golden.Path, CaseName));
        var start = root.GetProperty("peft").GetProperty("init_lora_weights").GetString();
        if (start is null || !start.StartsWith("pissa", StringComparison.Ordinal))
        {
            throw new GoldenUnsupportedException($"the start '{start}'");
        }

        var initial = AdapterFolder.Load(Path.Combine(golden.Path, "adapter_init"));
        using var weights = WeightSources.Open(GoldenModels.Find(golden.Path, root.GetProperty("model").GetString()!));
        using var residual = TensorFile.Open(Path.Combine(golden.Path, ResidualName));
        foreach (var module in initial.Modules)
        {
            // PEFT's "pissa_niter_N" is an approximation with random numbers of its own; ours is exact either way.
            if (start == "pissa")
            {
                Compare(module, weights, residual, meter);
            }
        }

        var converted = Path.Combine(golden.Path, "adapter_converted");
        if (Directory.Exists(converted))
        {
            var difference = AdapterDifference.Of(AdapterFolder.Load(Path.Combine(golden.Path, "adapter_final")), initial);
            CombinationGolden.Compare("converted", difference, AdapterFolder.Load(converted), meter);
        }

        return Task.CompletedTask;
    }

    private static void Compare(AdaptedModule module, IWeightSource weights, TensorFile residual, ErrorMeter meter)
    {
        var (rows, columns) = ((int)module.WeightShape[0], (int)module.WeightShape[1]);
        var weight = new float[rows * columns];
        weights.ReadFloat32(module.WeightName, weight);
        var factors = PrincipalFactors.Of(weight, rows, columns, module.Rank, module.Scale);
        var own = module with { A = new AdapterTensor(module.A.Shape, factors.A), B = new AdapterTensor(module.B.Shape, factors.B) };
        var tolerance = NoiseOf(weight, rows, columns, module.Rank);
        meter.Absolute($"B A of {module.Name}", Product(own), Product(module), tolerance);
        WeightUpdate.Apply(own with { Scale = -module.Scale }, weight);
        var expected = residual.Floats(module.WeightName);
        meter.Absolute($"what is left of {module.Name}", weight, expected, tolerance);
        // Whatever the noise: no other product of that rank leaves less.
        meter.Note($"length of what is left of {module.Name}", (Length(weight) / Length(expected)) - 1, 1e-6);
    }

    /// <summary>
    /// The reference decomposes in fp32. Rounding turns its singular directions by about epsilon * largest / gap (Davis and Kahan 1970), and
    /// the product by that times the value at the cut.
    /// </summary>
    private static double NoiseOf(float[] weight, int rows, int columns, int rank)
    {
        if (rank >= Math.Min(rows, columns))
        {
            return Noise * SingleEpsilon * weight.Max(Math.Abs);
        }

        var values = SingularValues.Largest(weight, rows, columns, rank + 1).Values;
        return Noise * SingleEpsilon * values[0] * values[rank - 1] / Math.Max(values[rank - 1] - values[rank], SingleEpsilon * values[0]);
    }

    private static double Length(float[] values) => Math.Sqrt(values.Sum(value => (double)value * value));

    private static float[] Product(AdaptedModule module)
    {
        var product = new float[module.WeightShape[0] * module.WeightShape[1]];
        WeightUpdate.Apply(module, product);
        return product;
    }
}
