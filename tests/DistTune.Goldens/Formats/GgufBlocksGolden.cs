using DistTune.Core;
using DistTune.Core.Formats;

namespace DistTune.Goldens.Formats;

/// <summary>
/// A safetensors file with dequantised tensors, by the names that they have in a GGUF file of the folder above; <c>NAME.safetensors</c>
/// belongs to <c>NAME.gguf</c> or <c>…-NAME.gguf</c>. Each tensor is a case.
/// </summary>
internal sealed class GgufBlocksGolden : IGoldenKind
{
    /// <inheritdoc/>
    public IEnumerable<GoldenCase> Find(string folder)
    {
        foreach (var expected in Directory.EnumerateFiles(folder, "*.safetensors").Order(StringComparer.Ordinal))
        {
            foreach (var name in SourceOf(expected).Names)
            {
                yield return new GoldenCase(expected, name, [expected]);
            }
        }
    }

    /// <inheritdoc/>
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        using var file = GgufFile.Open(SourceOf(golden.Path).File);
        using var tensors = SafetensorsFile.Open(golden.Path);
        var tensor = file.Find(golden.Part)!;
        if (!tensor.IsReadable)
        {
            throw new GoldenUnsupportedException($"tensors of type {tensor.TypeName} cannot be read yet");
        }

        var actual = new float[tensor.Length];
        file.ReadFloat32(tensor, actual);
        var expected = new float[tensors.Find(golden.Part)!.Length];
        tensors.ReadFloat32(golden.Part, expected);
        meter.Absolute(golden.Part, actual, expected, 0);
        return Task.CompletedTask;
    }

    // The GGUF file, and which of the tensors it holds; no names if there is no such file.
    private static (string File, IReadOnlyList<string> Names) SourceOf(string expected)
    {
        var stem = Path.GetFileNameWithoutExtension(expected);
        var above = Path.GetDirectoryName(Path.GetDirectoryName(expected));
        IEnumerable<string> candidates = above is null ? [] : Directory.EnumerateFiles(above, "*.gguf").Order(StringComparer.Ordinal);
        foreach (var file in candidates)
        {
            var name = Path.GetFileNameWithoutExtension(file);
            if ((name == stem || name.EndsWith($"-{stem}", StringComparison.Ordinal)) && Common(file, expected) is { Count: > 0 } names)
            {
                return (file, names);
            }
        }

        return ("", []);
    }

    private static List<string> Common(string file, string expected)
    {
        try
        {
            using var gguf = GgufFile.Open(file);
            using var tensors = SafetensorsFile.Open(expected);
            return [.. tensors.Weights.Select(weight => weight.Name).Where(name => gguf.Find(name) is not null)];
        }
        catch (DistTuneException)
        {
            return [];
        }
    }
}
