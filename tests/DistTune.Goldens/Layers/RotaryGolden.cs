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
        var table = new RotaryTable(Describe(root.GetProperty("tables").GetProperty(golden.Part), golden.Path));
        using var file = TensorFile.Open(TensorsOf(golden.Path, golden.Part));
        var tolerance = JsonCase.Number(root, "tolerance", "cos_sin_abs");
        var relative = JsonCase.Number(root, "tolerance", "inv_freq_rel");
        foreach (var name in file.Names.Where(name => name.EndsWith("cos", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
        {
            var call = name[..^"cos".Length];
            var positions = Enumerable.Range(0, checked((int)file.Shape(name)[0])).ToArray();
            var (cosine, sine) = table.Rows(positions);
            meter.Absolute(name, Doubled(cosine, table.Pairs), file.Floats(name), tolerance);
            meter.Absolute($"{call}sin", Doubled(sine, table.Pairs), file.Floats($"{call}sin"), tolerance);
        }

        foreach (var name in file.Names.Where(name => name.Contains("inv_freq", StringComparison.Ordinal)))
        {
            var expected = file.Floats(name);
            for (var pair = 0; pair < expected.Length; pair++)
            {
                meter.Relative(name, table.InverseFrequencies[pair], expected[pair], relative);
            }
        }

        return Task.CompletedTask;
    }

    private static string TensorsOf(string json, string table) =>
        Path.Combine(Path.GetDirectoryName(json)!, $"{Path.GetFileNameWithoutExtension(json)}_{table}.safetensors");

    // The product reads rotary parameters from a model's configuration, so the case is dressed up as one.
    private static RotarySpec Describe(JsonElement table, string path)
    {
        var headDimension = table.GetProperty("head_dim").GetInt32();
        var config = new Dictionary<string, object>
        {
            ["architectures"] = new[] { "LlamaForCausalLM" },
            ["vocab_size"] = 1,
            ["hidden_size"] = headDimension,
            ["intermediate_size"] = 1,
            ["num_hidden_layers"] = 1,
            ["num_attention_heads"] = 1,
            ["head_dim"] = headDimension,
            ["max_position_embeddings"] = table.GetProperty("max_position_embeddings").GetInt32(),
            ["rope_parameters"] = table.GetProperty("rope_parameters"),
        };
        try
        {
            return ModelFamilies.Describe(JsonSerializer.SerializeToElement(config), path).Rotary;
        }
        catch (DistTuneException fault) when (fault.Kind == FaultKind.Configuration)
        {
            throw new GoldenUnsupportedException(fault.Message);
        }
    }

    // Both halves of a head rotate by the same angles; the files hold them twice.
    private static float[] Doubled(float[] values, int pairs)
    {
        var rows = values.Length / pairs;
        var doubled = new float[2 * values.Length];
        for (var row = 0; row < rows; row++)
        {
            var source = values.AsSpan(row * pairs, pairs);
            source.CopyTo(doubled.AsSpan(2 * row * pairs));
            source.CopyTo(doubled.AsSpan(((2 * row) + 1) * pairs));
        }

        return doubled;
    }
}
