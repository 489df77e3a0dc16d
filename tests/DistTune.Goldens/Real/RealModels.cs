using System.Collections.Concurrent;
using System.Text.Json;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Text;
using DistTune.Goldens.Formats;
using DistTune.Modeling;

namespace DistTune.Goldens.Real;

/// <summary>A real base: its file, its weights in fp32 and its tokenizer.</summary>
internal sealed record RealModel(string Path, BaseModel Model, Tokenizer Tokenizer, ChatTemplate? Template);

/// <summary>Real GGUF models under the folder that <c>DISTTUNE_THIRDPARTY</c> names. Each is loaded once a process and shared.</summary>
internal static class RealModels
{
    private const string Variable = "DISTTUNE_THIRDPARTY";

    private static readonly ConcurrentDictionary<string, Lazy<RealModel>> Loaded = new(StringComparer.Ordinal);

    /// <summary>Groups computed at the same time: one a core.</summary>
    public static int Lanes { get; } = Math.Min(Environment.ProcessorCount, 8);

    /// <summary>
    /// The base that the cases of a folder stand on: the one whose tensors a list there (or in the folder above) has, otherwise the only
    /// one of a supported architecture.
    /// </summary>
    /// <exception cref="GoldenUnsupportedException">There is none.</exception>
    public static RealModel Of(string folder)
    {
        var path = PathOf(folder);
        return Loaded.GetOrAdd(path, file => new Lazy<RealModel>(() => Load(file))).Value;
    }

    /// <summary>The file of that base.</summary>
    public static string PathOf(string folder)
    {
        string?[] near = [folder, Path.GetDirectoryName(folder)];
        var rows = near.OfType<string>()
            .SelectMany(place => Directory.EnumerateFiles(place, "*.jsonl").Order(StringComparer.Ordinal))
            .Select(RealTensorsGolden.Rows)
            .FirstOrDefault(list => list.Count > 0);
        return rows is null ? Only() : WithTensors(rows);
    }

    /// <summary>The file that has all these tensors, as rows with <c>name</c> and <c>type</c>.</summary>
    /// <exception cref="GoldenUnsupportedException">There is none.</exception>
    public static string WithTensors(IReadOnlyList<JsonElement> rows)
    {
        foreach (var file in Files())
        {
            using var gguf = GgufFile.Open(file);
            if (rows.All(row => gguf.Find(row.GetProperty("name").GetString()!)?.TypeName == row.GetProperty("type").GetString()))
            {
                return file;
            }
        }

        throw new GoldenUnsupportedException($"no GGUF file under {Variable} has these tensors");
    }

    private static string Only()
    {
        var fitting = Files().Where(IsSupported).ToList();
        return fitting.Count == 1
            ? fitting[0]
            : throw new GoldenUnsupportedException(FormattableString.Invariant($"no list of tensors says which base is meant, and {fitting.Count} GGUF files under {Variable} would do"));
    }

    private static bool IsSupported(string file)
    {
        try
        {
            _ = ModelFamilies.Describe(file);
            return true;
        }
        catch (DistTuneException)
        {
            return false;
        }
    }

    private static IEnumerable<string> Files()
    {
        var root = Environment.GetEnvironmentVariable(Variable);
        return !string.IsNullOrEmpty(root) && Directory.Exists(root)
            ? Directory.EnumerateFiles(root, "*.gguf", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            : throw new GoldenUnsupportedException($"{Variable} names no folder of real weights");
    }

    private static RealModel Load(string file)
    {
        using var weights = WeightSources.Open(file);
        var model = BaseModel.Load(weights, ModelFamilies.Describe(file));
        using var gguf = GgufFile.Open(file);
        var tokenizer = GgufTokenizer.Load(gguf.Metadata).ToTokenizer();
        var template = gguf.Metadata.FindString("tokenizer.chat_template") is { } source ? ChatTemplate.Parse(source, tokenizer.SpecialTokens) : null;
        return new RealModel(file, model, tokenizer, template);
    }
}
