using System.Text.Json;

namespace DistTune.Goldens;

/// <summary>Small JSON files that describe golden cases.</summary>
internal static class JsonCase
{
    /// <summary>The root of a JSON file, or an undefined element if it is not one.</summary>
    public static JsonElement Root(string path)
    {
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(path));
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return default;
        }
    }

    /// <summary>Whether an element is an object with all these properties.</summary>
    public static bool HasAll(JsonElement element, params ReadOnlySpan<string> names)
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            return false;
        }

        foreach (var name in names)
        {
            if (!element.TryGetProperty(name, out _))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>A number by its path of names.</summary>
    public static double Number(JsonElement element, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            element = element.GetProperty(name);
        }

        return element.GetDouble();
    }

    /// <summary>The rows of a JSONL file.</summary>
    public static List<JsonElement> Lines(string path)
    {
        var rows = new List<JsonElement>();
        foreach (var line in File.ReadLines(path).Where(line => !string.IsNullOrWhiteSpace(line)))
        {
            using var document = JsonDocument.Parse(line);
            rows.Add(document.RootElement.Clone());
        }

        return rows;
    }
}
