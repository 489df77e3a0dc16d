using System.Text.Json;
using DistTune.Core.Formats;

namespace DistTune.Goldens.Formats;

/// <summary>
/// A JSONL file whose rows give, for every tensor of a real GGUF model, its Hugging Face name and the SHA-256 of its values in Hugging Face's
/// row order. The model itself is found under the folder that <c>DISTTUNE_THIRDPARTY</c> names.
/// </summary>
internal sealed class RealTensorsGolden : IGoldenKind
{
    private const string Variable = "DISTTUNE_THIRDPARTY";

    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        Directory.EnumerateFiles(folder, "*.jsonl").Order(StringComparer.Ordinal).Where(file => Rows(file).Count > 0).Select(file => GoldenCase.OfFile(file));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var rows = Rows(golden.Path);
        using var weights = GgufWeights.Open(FindModel(rows));
        foreach (var row in rows)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var name = row.GetProperty("hf_name").GetString()!;
            var weight = weights.Find(name) ?? throw new InvalidDataException($"There is no weight '{name}'.");
            var values = new float[weight.Length];
            weights.ReadFloat32(name, values);
            meter.Equal($"{name}: SHA-256 of the values", TensorHash.Sha256(values), row.GetProperty("hf_sha256").GetString()!);
        }

        return Task.CompletedTask;
    }

    private static string FindModel(List<JsonElement> rows)
    {
        var root = Environment.GetEnvironmentVariable(Variable);
        if (string.IsNullOrEmpty(root) || !Directory.Exists(root))
        {
            throw new GoldenUnsupportedException($"{Variable} names no folder of real weights");
        }

        foreach (var file in Directory.EnumerateFiles(root, "*.gguf", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            using var gguf = GgufFile.Open(file);
            if (rows.TrueForAll(row => gguf.Find(row.GetProperty("name").GetString()!)?.TypeName == row.GetProperty("type").GetString()))
            {
                return file;
            }
        }

        throw new GoldenUnsupportedException($"no GGUF file under {Variable} has these tensors");
    }

    private static List<JsonElement> Rows(string list)
    {
        try
        {
            var rows = JsonCase.Lines(list);
            return rows.Count > 0 && rows.TrueForAll(row => JsonCase.HasAll(row, "name", "type", "hf_name", "hf_sha256")) ? rows : [];
        }
        catch (JsonException)
        {
            return [];
        }
    }
}
