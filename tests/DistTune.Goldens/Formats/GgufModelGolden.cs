using System.Text.Json;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Models;

namespace DistTune.Goldens.Formats;

/// <summary>
/// A Hugging Face model folder with half or single precision GGUF files of the same model in the folder above: names, shapes, row order and
/// configuration must come out equal, values up to the precision that the file stores.
/// </summary>
internal sealed class GgufModelGolden : IGoldenKind
{
    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        File.Exists(Path.Combine(folder, ModelFamilies.ConfigName)) && File.Exists(Path.Combine(folder, WeightSources.SingleFileName)) && Sources(folder).Count > 0
            ? [GoldenCase.OfFolder(folder)]
            : [];

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var expectedSpec = JsonSerializer.Serialize(ModelFamilies.Describe(golden.Path));
        using var expected = WeightSources.Open(golden.Path);
        foreach (var source in Sources(golden.Path))
        {
            cancellationToken.ThrowIfCancellationRequested();
            using var actual = GgufWeights.Open(source);
            var file = Path.GetFileName(source);
            meter.Equal($"{file}: configuration", JsonSerializer.Serialize(ModelFamilies.Describe(source)), expectedSpec);
            foreach (var weight in expected.Weights)
            {
                var stored = actual.Find(weight.Name) ?? throw new InvalidDataException($"{file} has no '{weight.Name}'.");
                meter.Equal($"{file}: shape of {weight.Name}", string.Join('x', stored.Shape), string.Join('x', weight.Shape));
                var values = Array.ConvertAll(Read(expected, weight), value => Rounded(value, stored.Type));
                meter.Absolute($"{file}: {weight.Name}", Read(actual, stored), values, 0);
            }
        }

        return Task.CompletedTask;
    }

    private static float[] Read(IWeightSource source, WeightInfo weight)
    {
        var values = new float[weight.Length];
        source.ReadFloat32(weight.Name, values);
        return values;
    }

    private static float Rounded(float value, WeightType type)
    {
        if (type == WeightType.Float16)
        {
            return (float)(Half)value;
        }

        // bfloat16 by its definition: nearest, ties to even.
        var bits = BitConverter.SingleToUInt32Bits(value);
        return type == WeightType.BFloat16 ? BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000) : value;
    }

    private static List<string> Sources(string folder)
    {
        var names = SafetensorsNames(folder);
        return Path.GetDirectoryName(folder) is { } above && names.Count > 0
            ? [.. Directory.EnumerateFiles(above, "*.gguf").Order(StringComparer.Ordinal).Where(file => IsSame(file, names))]
            : [];
    }

    private static HashSet<string> SafetensorsNames(string folder)
    {
        try
        {
            using var weights = WeightSources.Open(folder);
            return [.. weights.Weights.Select(weight => weight.Name)];
        }
        catch (DistTuneException)
        {
            return [];
        }
    }

    private static bool IsSame(string file, HashSet<string> names)
    {
        try
        {
            using var weights = GgufWeights.Open(file);
            return names.SetEquals(weights.Weights.Select(weight => weight.Name))
                && weights.Weights.All(weight => weight.Type is WeightType.Float32 or WeightType.Float16 or WeightType.BFloat16);
        }
        catch (DistTuneException)
        {
            // A vocabulary, an adapter or another architecture: no model of this folder.
            return false;
        }
    }
}
