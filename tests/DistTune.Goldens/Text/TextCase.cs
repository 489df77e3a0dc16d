using System.Text;
using System.Text.Json;
using DistTune.Core.Text;

namespace DistTune.Goldens.Text;

/// <summary>What the text goldens share: JSON Lines, tokenizers by their place, comparison of lists.</summary>
internal static class TextCase
{
    /// <summary>The JSON Lines files of a folder whose first record has these fields.</summary>
    internal static IEnumerable<string> FilesWith(string folder, params string[] names) =>
        Directory.EnumerateFiles(folder, "*.jsonl").Order(StringComparer.Ordinal).Where(file => JsonCase.HasAll(First(file), names));

    /// <summary>The first record of a JSON Lines file; undefined if it is none.</summary>
    internal static JsonElement First(string file)
    {
        using var reader = new StreamReader(file, Encoding.UTF8);
        try
        {
            return reader.ReadLine() is { Length: > 0 } line ? JsonElement.Parse(line) : default;
        }
        catch (JsonException)
        {
            return default;
        }
    }

    /// <summary>The records; files are cut at <c>\n</c> only, for texts hold other line breaks.</summary>
    internal static IEnumerable<JsonElement> Records(string file) =>
        File.ReadAllText(file, Encoding.UTF8).Split('\n').Where(line => line.Length > 0).Select(line => JsonElement.Parse(line));

    internal static string Text(this JsonElement element, string name) => element.GetProperty(name).GetString()!;

    internal static int[] Ints(this JsonElement element, string name) => element.GetProperty(name).EnumerateArray().Select(item => item.GetInt32()).ToArray();

    internal static IReadOnlyDictionary<string, JsonElement> Fields(JsonElement element, string name) =>
        element.TryGetProperty(name, out var fields) && fields.ValueKind == JsonValueKind.Object
            ? fields.EnumerateObject().ToDictionary(field => field.Name, field => field.Value, StringComparer.Ordinal)
            : new Dictionary<string, JsonElement>(StringComparer.Ordinal);

    internal static JsonElement? ArrayOf(JsonElement element, string name) =>
        element.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array ? list : null;

    internal static void Sequence<T>(this ErrorMeter meter, string subject, IEnumerable<T> actual, IEnumerable<T> expected) =>
        meter.Note(subject, actual.SequenceEqual(expected) ? 0 : 1, 0);

    /// <summary>
    /// The tokenizer of a folder of cases: beside them, or the real one of the same name.
    /// </summary>
    internal static Tokenizer TokenizerOf(string folder) =>
        File.Exists(Path.Combine(folder, "tokenizer.json")) ? Tokenizer.Load(folder) : Tokenizer.Load(ThirdParty(Path.Combine("tokenizers", Path.GetFileName(folder))));

    /// <summary>A file or folder of real models, by its path below the folder that holds them.</summary>
    internal static string ThirdParty(string relative)
    {
        var root = Environment.GetEnvironmentVariable("DISTTUNE_THIRDPARTY");
        var path = string.IsNullOrEmpty(root) ? null : Path.Combine(root, relative);
        return path is not null && Path.Exists(path)
            ? path
            : throw new GoldenUnsupportedException($"it needs '{relative}' of the folder that DISTTUNE_THIRDPARTY names, and that is not there");
    }

    /// <summary>A path as a case's description gives it, relative to the description; real models may lie elsewhere.</summary>
    internal static string Resolve(string folder, string path)
    {
        const string Marker = "thirdparty/";
        var near = Path.GetFullPath(Path.Combine(folder, path));
        return Path.Exists(near) ? near
            : path.IndexOf(Marker, StringComparison.Ordinal) is var at and >= 0 ? ThirdParty(path[(at + Marker.Length)..])
            : throw new GoldenUnsupportedException($"'{path}' is not there");
    }
}
