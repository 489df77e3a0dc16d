using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Models;

/// <summary>Typed fields of a model's JSON configuration; a field of the wrong type is an error that names it and the file.</summary>
internal readonly struct ConfigReader(JsonElement root, string path)
{
    /// <summary>The configuration's object.</summary>
    public JsonElement Root { get; } = root;

    /// <summary>Whether the field is there, be it null.</summary>
    public bool Mentions(string name) => Root.TryGetProperty(name, out _);

    /// <summary>Whether the field is there and not null.</summary>
    public bool Has(string name) => Root.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>A whole number from 0.</summary>
    public int WholeNumber(string name, int otherwise)
    {
        if (!Has(name))
        {
            return otherwise;
        }

        var value = Root.GetProperty(name);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number >= 0 ? number : throw Wrong(name, "a whole number from 0");
    }

    /// <summary>A whole number from 1; <paramref name="otherwise"/> if absent, an error if that is null.</summary>
    public int PositiveInteger(string name, int? otherwise = null)
    {
        if (!Has(name))
        {
            return otherwise ?? throw Missing(name);
        }

        var value = Root.GetProperty(name);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number >= 1
            ? number
            : throw Wrong(name, "a whole number from 1");
    }

    /// <summary>A finite number above zero.</summary>
    public double PositiveNumber(string name, double? otherwise = null)
    {
        if (!Has(name))
        {
            return otherwise ?? throw Missing(name);
        }

        var value = Root.GetProperty(name);
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && double.IsFinite(number) && number > 0
            ? number
            : throw Wrong(name, "a number above 0");
    }

    /// <summary>A finite number.</summary>
    public double Number(string name, double otherwise)
    {
        if (!Has(name))
        {
            return otherwise;
        }

        var value = Root.GetProperty(name);
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && double.IsFinite(number) ? number : throw Wrong(name, "a number");
    }

    /// <summary>A list of finite numbers above zero; an error if absent.</summary>
    public ImmutableArray<double> PositiveNumbers(string name)
    {
        if (!Has(name))
        {
            throw Missing(name);
        }

        var numbers = ImmutableArray.CreateBuilder<double>();
        foreach (var item in Items(name, "a list of numbers above 0"))
        {
            numbers.Add(item.ValueKind == JsonValueKind.Number && item.TryGetDouble(out var number) && double.IsFinite(number) && number > 0
                ? number
                : throw Wrong(name, "a list of numbers above 0"));
        }

        return numbers.ToImmutable();
    }

    /// <summary>A list of strings; null if absent.</summary>
    public ImmutableArray<string>? Texts(string name)
    {
        if (!Has(name))
        {
            return null;
        }

        var texts = ImmutableArray.CreateBuilder<string>();
        foreach (var item in Items(name, "a list of strings"))
        {
            texts.Add(item.ValueKind == JsonValueKind.String ? item.GetString()! : throw Wrong(name, "a list of strings"));
        }

        return texts.ToImmutable();
    }

    /// <summary>A truth value.</summary>
    public bool Flag(string name, bool otherwise)
    {
        if (!Has(name))
        {
            return otherwise;
        }

        var value = Root.GetProperty(name);
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Wrong(name, "true or false");
    }

    /// <summary>A string, or null if absent.</summary>
    public string? Text(string name)
    {
        if (!Has(name))
        {
            return null;
        }

        var value = Root.GetProperty(name);
        return value.ValueKind == JsonValueKind.String ? value.GetString() : throw Wrong(name, "a string");
    }

    /// <summary>Token ids spelled as one number or a list of them; empty if absent.</summary>
    public ImmutableArray<int> Tokens(string name)
    {
        if (!Has(name))
        {
            return [];
        }

        var value = Root.GetProperty(name);
        var items = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray().ToArray() : [value];
        var tokens = ImmutableArray.CreateBuilder<int>(items.Length);
        foreach (var item in items)
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out var token) || token < 0)
            {
                throw Wrong(name, "a token id or a list of them");
            }

            tokens.Add(token);
        }

        return tokens.MoveToImmutable();
    }

    /// <summary>A nested object, or null if absent.</summary>
    public ConfigReader? Section(string name)
    {
        if (!Has(name))
        {
            return null;
        }

        var value = Root.GetProperty(name);
        return value.ValueKind == JsonValueKind.Object ? new ConfigReader(value, $"{path} ({name})") : throw Wrong(name, "an object");
    }

    /// <summary>A value that is well formed and not supported.</summary>
    /// <param name="name">The field.</param>
    /// <param name="value">What it says.</param>
    /// <param name="supported">What it may say.</param>
    /// <param name="nearest">The supported value that comes closest, if one is near.</param>
    public DistTuneException Unsupported(string name, string value, string supported, string? nearest = null) =>
        new(
            FaultKind.Configuration,
            $"{path}: {name} is '{value}', which is not supported. {(nearest is null ? "" : $"The nearest is '{nearest}'. ")}Supported: {supported}. Use a base model of that kind.");

    /// <summary>Two fields that do not go together.</summary>
    public DistTuneException Contradiction(string problem) =>
        new(FaultKind.InvalidFile, $"{path}: {problem}. Fetch the model's config.json again.");

    private JsonElement.ArrayEnumerator Items(string name, string expected)
    {
        var value = Root.GetProperty(name);
        return value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : throw Wrong(name, expected);
    }

    private DistTuneException Missing(string name) =>
        new(FaultKind.InvalidFile, $"{path}: the field '{name}' is missing. Fetch the model's config.json again.");

    private DistTuneException Wrong(string name, string expected) =>
        new(FaultKind.InvalidFile, $"{path}: {name} must be {expected}, got {Root.GetProperty(name).GetRawText()}. Correct config.json.");
}
