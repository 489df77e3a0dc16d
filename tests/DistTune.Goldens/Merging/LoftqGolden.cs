using System.Globalization;
using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Core.Merging;
using DistTune.Core.Numerics;
using DistTune.Core.Quantization;
using DistTune.Goldens.Models;

namespace DistTune.Goldens.Merging;

/// <summary>LoftQ's start: the quantised base, the product of the factors, and how far both are from the base.</summary>
internal sealed class LoftqGolden : IGoldenKind
{
    private const double ProductTolerance = 5e-6;
    private const double ErrorTolerance = 3e-6;

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) => Directory.EnumerateFiles(folder, "*.json")
        .Order(StringComparer.Ordinal)
        .Where(path => JsonCase.Root(path) is var root && JsonCase.HasAll(root, "base", "items") && root.GetProperty("items").EnumerateArray().All(item => JsonCase.HasAll(item, "module", "iter", "rank", "error_loftq")))
        .Select(path => GoldenCase.OfFile(path, Path.ChangeExtension(path, ".safetensors")));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(golden.Path);
        using var weights = WeightSources.Open(GoldenModels.Find(Path.GetDirectoryName(golden.Path)!, root.GetProperty("base").GetString()!));
        using var file = TensorFile.Open(Path.ChangeExtension(golden.Path, ".safetensors"));
        foreach (var item in root.GetProperty("items").EnumerateArray())
        {
            cancellationToken.ThrowIfCancellationRequested();
            Compare(item, weights, file, meter);
        }

        return Task.CompletedTask;
    }

    private static void Compare(JsonElement item, IWeightSource weights, TensorFile file, ErrorMeter meter)
    {
        var (name, iterations, rank) = (item.GetProperty("module").GetString()!, item.GetProperty("iter").GetInt32(), item.GetProperty("rank").GetInt32());
        var info = weights.Find($"{name}.weight")!;
        var (rows, columns) = ((int)info.Shape[0], (int)info.Shape[1]);
        var weight = new float[info.Length];
        weights.ReadFloat32(info.Name, weight);
        var start = LoftqFactors.Of(weight, rows, columns, rank, iterations, new FourBitSettings(FourBitKind.Nf4, 64, DoubleQuantization: false));
        var left = Array.ConvertAll(start.Quantized, value => -value);
        meter.Relative(string.Create(CultureInfo.InvariantCulture, $"error of {name} after {iterations}"), Distance(weight, left, start.Factors, rows, columns, rank), item.GetProperty("error_loftq").GetDouble(), ErrorTolerance);
        var key = string.Create(CultureInfo.InvariantCulture, $"iter{iterations}/{name}/");
        if (file.Has($"{key}dequant"))
        {
            // The first time W itself is quantised; later on what the factors leave, and they are exact to rounding only.
            meter.Absolute($"{key}dequant", start.Quantized, file.Floats($"{key}dequant"), iterations == 1 ? 0 : ProductTolerance);
            var expected = new PrincipalFactors(file.Floats($"{key}lora_A"), file.Floats($"{key}lora_B"));
            meter.Absolute($"{key} B A", Sum(new float[weight.Length], start.Factors, rows, columns, rank), Sum(new float[weight.Length], expected, rows, columns, rank), ProductTolerance);
        }
    }

    // The length of W - Q - B A.
    private static double Distance(float[] weight, float[] negated, PrincipalFactors factors, int rows, int columns, int rank)
    {
        var sum = Sum((float[])negated.Clone(), new PrincipalFactors(factors.A, Array.ConvertAll(factors.B, value => -value)), rows, columns, rank);
        return Math.Sqrt(sum.Zip(weight, (one, other) => ((double)one + other) * ((double)one + other)).Sum());
    }

    private static float[] Sum(float[] into, PrincipalFactors factors, int rows, int columns, int rank)
    {
        WeightUpdate.Apply(new AdaptedModule("", false, new AdapterTensor([rank, columns], factors.A), new AdapterTensor([rows, rank], factors.B), 1), into);
        return into;
    }
}
