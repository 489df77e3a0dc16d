using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Globalization;

namespace DistTune.Core.Formats;

/// <summary>The key-value metadata of a GGUF file. A key that is absent gives null; a value of another type is an error that names the key.</summary>
public sealed class GgufMetadata
{
    private readonly string _path;
    private readonly FrozenDictionary<string, object> _values;

    internal GgufMetadata(string path, IReadOnlyCollection<KeyValuePair<string, object>> values)
    {
        _path = path;
        _values = values.ToFrozenDictionary(StringComparer.Ordinal);
        Keys = [.. values.Select(pair => pair.Key)];
    }

    /// <summary>The keys in the file's order.</summary>
    public ImmutableArray<string> Keys { get; }

    /// <summary>Whether the key is there.</summary>
    public bool Contains(string key) => _values.ContainsKey(key);

    /// <summary>
    /// The value as it is stored: a boxed number, a <see cref="bool"/>, a <see cref="string"/>, or an array of one of these
    /// (arrays of arrays as <c>object[]</c>).
    /// </summary>
    public object? Find(string key) => _values.GetValueOrDefault(key);

    /// <summary>A string.</summary>
    public string? FindString(string key) => Find(key) switch
    {
        null => null,
        string text => text,
        var other => throw Wrong(key, "a string", other),
    };

    /// <summary>A truth value.</summary>
    public bool? FindFlag(string key) => Find(key) switch
    {
        null => null,
        bool flag => flag,
        var other => throw Wrong(key, "true or false", other),
    };

    /// <summary>A whole number of any width.</summary>
    public long? FindInteger(string key) => Find(key) switch
    {
        null => null,
        byte or sbyte or ushort or short or uint or int or long => Convert.ToInt64(Find(key), CultureInfo.InvariantCulture),
        ulong number when number <= long.MaxValue => (long)number,
        var other => throw Wrong(key, "a whole number", other),
    };

    /// <summary>A finite number. A 32-bit value is given as the shortest decimal that denotes it, so that 1e-5f is 1e-5.</summary>
    public double? FindNumber(string key) => Find(key) switch
    {
        null => null,
        float number when !float.IsFinite(number) => throw NotFinite(key, number),
        double number when !double.IsFinite(number) => throw NotFinite(key, number),
        float number => double.Parse(number.ToString("R", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture),
        double number => number,
        _ => FindInteger(key),
    };

    /// <summary>A list of strings.</summary>
    public string[]? FindStrings(string key) => FindArray<string>(key, "a list of strings");

    /// <summary>A list of 32-bit floating-point numbers.</summary>
    public float[]? FindNumbers(string key) => FindArray<float>(key, "a list of 32-bit floating-point numbers");

    /// <summary>A list of 32-bit whole numbers.</summary>
    public int[]? FindIntegers(string key) => Find(key) is uint[] unsigned
        ? Array.ConvertAll(unsigned, number => number <= int.MaxValue ? (int)number : throw Wrong(key, "a list of whole numbers below 2^31", unsigned))
        : FindArray<int>(key, "a list of 32-bit whole numbers");

    /// <summary>A fault of a number that is beyond what the key allows.</summary>
    internal DistTuneException OutOfRange(string key, long value) =>
        FileFault.Of(_path, $"the metadata '{key}' is {value}, which is out of range", GgufReader.FetchAgain);

    private DistTuneException NotFinite(string key, double value) => FileFault.Of(
        _path,
        string.Create(CultureInfo.InvariantCulture, $"the metadata '{key}' is {value}; a finite number is expected"),
        GgufReader.FetchAgain);

    private T[]? FindArray<T>(string key, string expected) => Find(key) switch
    {
        null => null,
        T[] items when items.GetType() == typeof(T[]) => items,
        var other => throw Wrong(key, expected, other),
    };

    private DistTuneException Wrong(string key, string expected, object value) =>
        FileFault.Of(
            _path,
            $"the metadata '{key}' must be {expected}, got {value.GetType().Name}",
            "Convert the model again with a current converter.");
}
