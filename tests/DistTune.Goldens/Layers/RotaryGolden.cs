using System.Text.Json;
using DistTune.Core;
using DistTune.Core.Models;
using DistTune.Modeling.Decoders;

namespace DistTune.Goldens.Layers;

/// <summary>Tables of rotary cosines and sines, several to a JSON file that describes them, each in a file of its own.</summary>
internal sealed class RotaryGolden : IGoldenKind
{
    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        foreach (var path in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal))
        {
            var root = JsonCase.Root(path);
            if (!JsonCase.HasAll(root, "tables", "tolerance") || root.GetProperty("tables").ValueKind != JsonValueKind.Object)
            {
                continue;
            }

            foreach (var table in root.GetProperty("tables").EnumerateObject().Where(table => JsonCase.HasAll(table.Value, "rope_parameters", "head_dim")))
            {
                yield return new GoldenCase(path, table.Name, [path, TensorsOf(path, table.Name)]);
            }
        }
    }

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var root = JsonCase.Root(golden.Path);
        var (spec, maxPositions) = Describe(root.GetProperty("tables").GetProperty(golden.Part), golden.Path);
        var table = new RotaryTable(spec);
        using var file = TensorFile.Open(TensorsOf(golden.Path, golden.Part));
        var tolerance = JsonCase.Number(root, "tolerance", "cos_sin_abs");
        var relative = JsonCase.Number(root, "tolerance", "inv_freq_rel");
        CompareFrequencies(file, "inv_freq.init", table.At(0), relative, meter);
        var kept = maxPositions;
        foreach (var call in Calls(file))
        {
            var length = checked((int)file.Shape($"{call}cos")[0]);
            kept = KeptLength(kept, length, maxPositions);
            var angles = table.At(spec.Scaling is DynamicRotaryScaling ? kept : length);
            CompareFrequencies(file, $"{call}inv_freq", angles, relative, meter);
            var (cosine, sine) = Rows(angles, length);
            meter.Absolute($"{call}cos", cosine, file.Floats($"{call}cos"), tolerance);
            meter.Absolute($"{call}sin", sine, file.Floats($"{call}sin"), tolerance);
        }

        return Task.CompletedTask;
    }

    // The reference's object remembers between calls: a base that has grown stays until an input is shorter than the original length.
    private static int KeptLength(int kept, int length, int maxPositions) =>
        length > kept ? length : length < maxPositions ? maxPositions : kept;

    // In the order of the numbers in their names.
    private static IEnumerable<string> Calls(TensorFile file) => file.Names
        .Where(name => name.EndsWith("cos", StringComparison.Ordinal))
        .Select(name => name[..^"cos".Length])
        .OrderBy(name => name.Length)
        .ThenBy(name => name, StringComparer.Ordinal);

    private static void CompareFrequencies(TensorFile file, string name, RotaryAngles angles, double relative, ErrorMeter meter)
    {
        if (!file.Has(name))
        {
            return;
        }

        var expected = file.Floats(name);
        meter.Equal($"length of {name}", angles.Pairs, expected.Length);
        for (var pair = 0; pair < Math.Min(angles.Pairs, expected.Length); pair++)
        {
            meter.Relative(name, angles.InverseFrequencies[pair], expected[pair], relative);
        }
    }

    private static string TensorsOf(string json, string table) =>
        Path.Combine(Path.GetDirectoryName(json)!, $"{Path.GetFileNameWithoutExtension(json)}_{table}.safetensors");

    // The product reads rotary parameters from a model's configuration, so the case is dressed up as one.
    private static (RotarySpec Spec, int MaxPositions) Describe(JsonElement table, string path)
    {
        var maxPositions = table.GetProperty("max_position_embeddings").GetInt32();
        var headDimension = table.GetProperty("head_dim").GetInt32();
        var config = new Dictionary<string, object>
        {
            ["architectures"] = new[] { "Phi3ForCausalLM" },
            ["vocab_size"] = 1,
            ["hidden_size"] = headDimension,
            ["intermediate_size"] = 1,
            ["num_hidden_layers"] = 1,
            ["num_attention_heads"] = 1,
            ["head_dim"] = headDimension,
            ["max_position_embeddings"] = maxPositions,
            ["rope_parameters"] = table.GetProperty("rope_parameters"),
        };
        try
        {
            return (ModelFamilies.Describe(JsonSerializer.SerializeToElement(config), path).Rotary, maxPositions);
        }
        catch (DistTuneException fault) when (fault.Kind == FaultKind.Configuration)
        {
            throw new GoldenUnsupportedException(fault.Message);
        }
    }

    // Both halves of a head rotate by the same angles; the files hold them twice.
    private static (float[] Cosine, float[] Sine) Rows(RotaryAngles angles, int length)
    {
        var pairs = angles.Pairs;
        var cosine = new float[2 * length * pairs];
        var sine = new float[2 * length * pairs];
        for (var row = 0; row < 2 * length; row++)
        {
            angles.Copy(row / 2, cosine.AsSpan(row * pairs, pairs), sine.AsSpan(row * pairs, pairs));
        }

        return (cosine, sine);
    }
}
