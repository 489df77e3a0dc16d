using System.Text.Json;
using DistTune.Core.Formats;
using DistTune.Goldens.Real;

namespace DistTune.Goldens.Formats;

/// <summary>
/// A JSONL file whose rows give, for every tensor of a real GGUF model, its Hugging Face name and the SHA-256 of its values in Hugging Face's
/// row order. The model itself is found under the folder that <c>DISTTUNE_THIRDPARTY</c> names.
/// </summary>
internal sealed class RealTensorsGolden : IGoldenKind
{
    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder) =>
        Directory.EnumerateFiles(folder, "*.jsonl").Order(StringComparer.Ordinal).Where(file => Rows(file).Count > 0).Select(file => GoldenCase.OfFile(file));

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        var rows = Rows(golden.Path);
        using var weights = GgufWeights.Open(RealModels.WithTensors(rows));
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

    /// <summary>The rows of a list of tensors; none if the file is not one.</summary>
    internal static List<JsonElement> Rows(string list)
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
