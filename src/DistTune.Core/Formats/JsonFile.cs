using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DistTune.Core.Formats;

/// <summary>Reads foreign JSON files with their size, depth and keys bounded, and renders the ones that we write.</summary>
internal static class JsonFile
{
    private const int MaxDepth = 32;

    private static readonly JsonSerializerOptions Indented = new()
    {
        WriteIndented = true,
        IndentSize = 2,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Reads and parses the file; duplicate keys are refused.</summary>
    /// <exception cref="DistTuneException">The file is missing, longer than <paramref name="maxBytes"/> or not JSON.</exception>
    public static JsonDocument Read(string path, long maxBytes = 16_000_000)
    {
        RegularFile.Check(path);
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            if (stream.Length > maxBytes)
            {
                throw FileFault.Of(path, $"it has {stream.Length} bytes; at most {maxBytes} are read", "Check that it is the file it should be.");
            }

            var content = new byte[stream.Length];
            stream.ReadExactly(content);
            var json = content.AsMemory(content.AsSpan().StartsWith(Encoding.UTF8.Preamble) ? Encoding.UTF8.Preamble.Length : 0);
            CheckText(path, json.Span);
            return JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = MaxDepth, AllowDuplicateProperties = false });
        }
        catch (JsonException error)
        {
            throw FileFault.Of(path, $"it is not valid JSON ({error.Message})", "Correct the file or fetch it again.", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw FileFault.Of(path, $"it cannot be read ({error.Message})", "Check the path and its permissions.", error);
        }
    }

    /// <summary>
    /// Refuses strings that are no text: half of a surrogate pair, which JSON can spell and which every later reading would trip over.
    /// </summary>
    /// <param name="path">The file, for the message.</param>
    /// <param name="json">The JSON.</param>
    /// <exception cref="DistTuneException">There is such a string.</exception>
    /// <exception cref="JsonException">It is not JSON.</exception>
    public static void CheckText(string path, ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = int.MaxValue });
        while (reader.Read())
        {
            if (!reader.ValueIsEscaped)
            {
                continue;
            }

            try
            {
                _ = reader.GetString();
            }
            catch (InvalidOperationException error)
            {
                throw FileFault.At(path, reader.TokenStartIndex, "a string holds half of a surrogate pair (\\ud800 to \\udfff alone)", "Correct the file or fetch it again.", error);
            }
        }
    }

    /// <summary>The text of a configuration file as others write it: top-level keys sorted, two spaces, a line break at the end.</summary>
    public static string Render(JsonObject value)
    {
        var sorted = value.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => KeyValuePair.Create(pair.Key, pair.Value?.DeepClone()));
        return new JsonObject(sorted).ToJsonString(Indented) + "\n";
    }
}
