using DistTune.Core.Quantization;

namespace DistTune.Core.Formats;

/// <summary>Opens a base model's weights, whatever files they lie in.</summary>
public static class WeightSources
{
    /// <summary>The unsharded file's name within a model folder.</summary>
    public const string SingleFileName = "model.safetensors";

    private static readonly string[] PickleSuffixes = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];

    /// <summary>
    /// Opens a folder (model.safetensors, or shards with their index, or exactly one .gguf), a .safetensors file or a .gguf file. Where
    /// weights are held in bitsandbytes' four bits, the source is an <see cref="IFourBitWeights"/>.
    /// </summary>
    /// <exception cref="DistTuneException">There are no weights there that can be read; the message says what was found and the cure.</exception>
    public static IWeightSource Open(string path)
    {
        var weights = Locate(path);
        return weights switch
        {
            _ when IsGguf(weights) => GgufWeights.Open(weights),
            _ when weights.EndsWith(".index.json", StringComparison.Ordinal) => FourBitWeights.Over(ShardedSafetensors.Open(weights)),
            _ => FourBitWeights.Over(SafetensorsFile.Open(weights)),
        };
    }

    /// <summary>The file that <see cref="Open"/> would open first: a .safetensors file, an index or a .gguf file.</summary>
    internal static string Locate(string path)
    {
        if (File.Exists(path))
        {
            if (path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase) || IsGguf(path))
            {
                return path;
            }

            throw IsPickle(path) ? Pickle(path) : FileFault.Of(
                path,
                "it is neither a .safetensors nor a .gguf file",
                "Name a model folder or such a file.");
        }

        if (!Directory.Exists(path))
        {
            throw new DistTuneException(FaultKind.Configuration, $"There is no model at '{path}'. Name an existing model folder or .gguf file.");
        }

        foreach (var name in (string[])[SingleFileName, ShardedSafetensors.IndexName])
        {
            var candidate = Path.Combine(path, name);
            if (File.Exists(candidate))
            {
                return candidate;
            }
        }

        return LocateOther(path);
    }

    /// <summary>Whether the path's name says GGUF.</summary>
    internal static bool IsGguf(string path) => path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase);

    private static string LocateOther(string folder)
    {
        var files = Directory.GetFiles(folder).Order(StringComparer.Ordinal).ToArray();
        var ggufs = files.Where(IsGguf).ToArray();
        if (ggufs.Length == 1)
        {
            return ggufs[0];
        }

        if (ggufs.Length > 1)
        {
            throw FileFault.Of(
                folder,
                $"it holds {ggufs.Length} .gguf files ({string.Join(", ", ggufs.Select(Path.GetFileName))})",
                "Name the one to use.");
        }

        throw files.FirstOrDefault(IsPickle) is { } pickle
            ? Pickle(pickle)
            : FileFault.Of(
                folder,
                $"it holds no {SingleFileName}, no {ShardedSafetensors.IndexName} and no .gguf file",
                "Check the path; a model folder holds its weights in one of these.");
    }

    private static bool IsPickle(string path) => PickleSuffixes.Any(suffix => path.EndsWith(suffix, StringComparison.OrdinalIgnoreCase));

    private static DistTuneException Pickle(string path) => FileFault.Of(
        path,
        "it is a pickle file, which can run code when read and is never opened",
        "Convert it to safetensors where it came from (save_pretrained with safe_serialization), or fetch the model's safetensors revision.");
}
