using System.Globalization;

namespace DistTune.Core.Configuration;

/// <summary>Text of a single value to its type and back, the same in every culture.</summary>
internal static class ScalarText
{
    /// <summary>The value, or null if the text is not one of the key's type or out of its range.</summary>
    public static object? Read(ConfigKey key, string text) => key.Kind switch
    {
        ConfigKind.Integer or ConfigKind.IntegerList => long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var integer) && InRange(key, integer) ? integer : null,
        ConfigKind.Number or ConfigKind.NumberMap => double.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out var number)
            && double.IsFinite(number) && InRange(key, number) ? number : null,
        ConfigKind.Boolean => text switch
        {
            "true" or "True" or "TRUE" => true,
            "false" or "False" or "FALSE" => false,
            _ => null,
        },
        ConfigKind.Choice => key.Choices.Contains(text, StringComparer.Ordinal) ? text : null,
        _ => text,
    };

    /// <summary>YAML that reads back as the same value.</summary>
    public static string Write(object? value) => value switch
    {
        null => "null",
        bool flag => flag ? "true" : "false",
        long integer => integer.ToString(CultureInfo.InvariantCulture),
        double number => number.ToString("R", CultureInfo.InvariantCulture).ToLowerInvariant(),
        string text => IsPlain(text) ? text : $"\"{Escape(text)}\"",
        _ => throw new ArgumentException($"{value.GetType().Name} is not a single value.", nameof(value)),
    };

    private static bool InRange(ConfigKey key, double value) =>
        (key.AboveMinimum ? value > key.Minimum : value >= key.Minimum) && value <= key.Maximum;

    // Quoting more than YAML asks for does no harm; quoting less would.
    private static bool IsPlain(string text) =>
        text.Length > 0
        && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '/' or '.')
        && (char.IsAsciiLetter(text[0]) || text[0] == '/' || text.StartsWith("./", StringComparison.Ordinal))
        && text is not ("true" or "True" or "TRUE" or "false" or "False" or "FALSE" or "null" or "Null" or "NULL");

    private static string Escape(string text)
    {
        var escaped = new System.Text.StringBuilder(text.Length);
        foreach (var c in text)
        {
            escaped.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                _ when char.IsControl(c) || c is '\u2028' or '\u2029' or '\uFEFF' => $"\\u{(int)c:x4}",
                _ => c.ToString(),
            });
        }

        return escaped.ToString();
    }
}
