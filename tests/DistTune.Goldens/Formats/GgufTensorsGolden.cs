using System.Text.Json;
using DistTune.Core.Formats;

namespace DistTune.Goldens.Formats;

/// <summary>
/// A JSONL file whose rows name a GGUF file beside it, a tensor, its type, shape and the SHA-256 of its dequantised values in GGUF's row
/// order. Each GGUF file is a case.
/// </summary>
internal sealed class GgufTensorsGolden : IGoldenKind
{
    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        foreach (var list in Directory.EnumerateFiles(folder, "*.jsonl").Order(StringComparer.Ordinal))
        {
            var rows = Rows(list);
            foreach (var name in rows.Select(row => row.GetProperty("file").GetString()!).Distinct(StringComparer.Ordinal))
            {
                var file = Path.Combine(folder, name);
                if (Path.GetFileName(name) == name && File.Exists(file))
                {
                    yield return GoldenCase.OfFile(file, list);
                }
            }
        }
    }

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        using var file = GgufFile.Open(golden.Path);
        if (file.Tensors.FirstOrDefault(tensor => !tensor.IsReadable) is { } unreadable)
        {
            throw new GoldenUnsupportedException($"tensors of type {unreadable.TypeName} cannot be read yet");
        }

        foreach (var row in Rows(golden.Files[1]).Where(row => row.GetProperty("file").GetString() == Path.GetFileName(golden.Path)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            var name = row.GetProperty("name").GetString()!;
            var tensor = file.Find(name) ?? throw new InvalidDataException($"There is no tensor '{name}'.");
            var values = new float[tensor.Length];
            file.ReadFloat32(tensor, values);
            meter.Equal($"{name}: type", tensor.TypeName, row.GetProperty("type").GetString()!);
            meter.Equal($"{name}: shape", string.Join('x', tensor.Shape), string.Join('x', row.GetProperty("shape").EnumerateArray().Select(item => item.GetInt64())));
            meter.Equal($"{name}: SHA-256 of the values", TensorHash.Sha256(values), row.GetProperty("sha256").GetString()!);
        }

        return Task.CompletedTask;
    }

    private static List<JsonElement> Rows(string list)
    {
        try
        {
            var rows = JsonCase.Lines(list);
            return rows.TrueForAll(row => JsonCase.HasAll(row, "file", "name", "type", "shape", "sha256")) ? rows : [];
        }
        catch (JsonException)
        {
            return [];
        }
    }
}
