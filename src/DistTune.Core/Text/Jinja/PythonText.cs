using System.Globalization;
using System.Text;

namespace DistTune.Core.Text.Jinja;

/// <summary>Text as Python sees it: white space, case, numbers and <c>repr</c>.</summary>
internal static class PythonText
{
    private static readonly Dictionary<char, string> SpecialUpper = new()
    {
        ['ß'] = "SS",
        ['ı'] = "I",
        ['ſ'] = "S",
        ['ŉ'] = "ʼN",
        ['ǰ'] = "J\u030C",
        ['ΐ'] = "Ι\u0308\u0301",
        ['ΰ'] = "Υ\u0308\u0301",
        ['և'] = "ԵՒ",
        ['ẖ'] = "H\u0331",
        ['ẗ'] = "T\u0308",
        ['ẘ'] = "W\u030A",
        ['ẙ'] = "Y\u030A",
        ['ẚ'] = "Aʾ",
        ['ﬀ'] = "FF",
        ['ﬁ'] = "FI",
        ['ﬂ'] = "FL",
        ['ﬃ'] = "FFI",
        ['ﬄ'] = "FFL",
        ['ﬅ'] = "ST",
        ['ﬆ'] = "ST",
        ['ﬓ'] = "ՄՆ",
        ['ﬔ'] = "ՄԵ",
        ['ﬕ'] = "ՄԻ",
        ['ﬖ'] = "ՎՆ",
        ['ﬗ'] = "ՄԽ",
    };

    /// <summary>Python's <c>str.isspace</c>: Unicode white space and the four information separators.</summary>
    internal static bool IsSpace(char unit) => char.IsWhiteSpace(unit) || unit is >= '\u001C' and <= '\u001F';

    internal static string Trim(string text) => TrimStart(TrimEnd(text));

    internal static string TrimStart(string text)
    {
        var start = 0;
        while (start < text.Length && IsSpace(text[start]))
        {
            start++;
        }

        return text[start..];
    }

    internal static string TrimEnd(string text)
    {
        var end = text.Length;
        while (end > 0 && IsSpace(text[end - 1]))
        {
            end--;
        }

        return text[..end];
    }

    /// <summary>The words between runs of white space.</summary>
    internal static List<string> SplitSpaces(string text, long maximum = -1)
    {
        var words = new List<string>();
        var at = 0;
        while (true)
        {
            while (at < text.Length && IsSpace(text[at]))
            {
                at++;
            }

            if (at >= text.Length)
            {
                return words;
            }

            if (maximum >= 0 && words.Count == maximum)
            {
                words.Add(TrimEnd(text[at..]));
                return words;
            }

            var start = at;
            while (at < text.Length && !IsSpace(text[at]))
            {
                at++;
            }

            words.Add(text[start..at]);
        }
    }

    /// <summary>Python's <c>upper</c>: full mappings, so ß becomes SS.</summary>
    internal static string Upper(string text)
    {
        var upper = text.ToUpperInvariant();
        if (!text.Any(SpecialUpper.ContainsKey))
        {
            return upper;
        }

        var builder = new StringBuilder(text.Length + 8);
        for (var i = 0; i < text.Length; i++)
        {
            _ = SpecialUpper.TryGetValue(text[i], out var special) ? builder.Append(special) : builder.Append(upper[i]);
        }

        return builder.ToString();
    }

    /// <summary>Python's <c>lower</c>: İ becomes two characters, a final Σ becomes ς.</summary>
    internal static string Lower(string text)
    {
        var lower = text.ToLowerInvariant();
        if (!text.AsSpan().ContainsAny('İ', 'Σ'))
        {
            return lower;
        }

        var builder = new StringBuilder(text.Length + 8);
        for (var i = 0; i < text.Length; i++)
        {
            _ = text[i] switch
            {
                'İ' => builder.Append("i\u0307"),
                'Σ' => builder.Append(IsFinalSigma(text, i) ? 'ς' : 'σ'),
                _ => builder.Append(lower[i]),
            };
        }

        return builder.ToString();
    }

    internal static string Capitalize(string text) => text.Length == 0 ? text : TitleHead(text, out var rest) + Lower(rest);

    internal static string Title(string text)
    {
        var builder = new StringBuilder(text.Length);
        var inWord = false;
        for (var i = 0; i < text.Length; i++)
        {
            var cased = char.IsLetter(text[i]);
            _ = !cased || char.IsSurrogate(text[i]) ? builder.Append(text[i])
                : inWord ? builder.Append(Lower(text[i].ToString()))
                : builder.Append(TitleHead(text[i].ToString(), out _));
            inWord = cased;
        }

        return builder.ToString();
    }

    internal static string Reverse(string text)
    {
        var runes = text.EnumerateRunes().ToArray();
        Array.Reverse(runes);
        return string.Concat(runes.Select(rune => rune.ToString()));
    }

    internal static int Length(string text)
    {
        var count = text.Length;
        for (var i = 0; i + 1 < text.Length; i++)
        {
            if (char.IsSurrogatePair(text[i], text[i + 1]))
            {
                count--;
                i++;
            }
        }

        return count;
    }

    /// <summary>The characters (code points) of a text.</summary>
    internal static List<string> Characters(string text)
    {
        var characters = new List<string>(text.Length);
        for (var i = 0; i < text.Length; i++)
        {
            var pair = i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]);
            characters.Add(pair ? text.Substring(i++, 2) : text[i].ToString());
        }

        return characters;
    }

    /// <summary>Order of two texts by code point.</summary>
    internal static int Compare(string left, string right)
    {
        var length = Math.Min(left.Length, right.Length);
        for (var i = 0; i < length; i++)
        {
            if (left[i] != right[i])
            {
                // Surrogates sort behind the rest of the basic plane.
                var leftKey = char.IsSurrogate(left[i]) ? left[i] + 0x10000 : left[i];
                var rightKey = char.IsSurrogate(right[i]) ? right[i] + 0x10000 : right[i];
                return leftKey.CompareTo(rightKey);
            }
        }

        return left.Length.CompareTo(right.Length);
    }

    /// <summary>The shortest text that reads back as the number, in Python's notation.</summary>
    internal static string Float(double value)
    {
        if (double.IsNaN(value))
        {
            return "nan";
        }

        if (double.IsInfinity(value))
        {
            return value > 0 ? "inf" : "-inf";
        }

        var text = value.ToString("E16", CultureInfo.InvariantCulture);
        for (var digits = 0; digits < 17; digits++)
        {
            var candidate = value.ToString($"E{digits}", CultureInfo.InvariantCulture);
            if (double.Parse(candidate, CultureInfo.InvariantCulture) == value)
            {
                text = candidate;
                break;
            }
        }

        var mark = text.IndexOf('E', StringComparison.Ordinal);
        var exponent = int.Parse(text.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        var sign = text[0] == '-' ? "-" : string.Empty;
        var mantissa = text[sign.Length..mark].Replace(".", string.Empty, StringComparison.Ordinal);
        if (exponent is < -4 or >= 16)
        {
            var fraction = mantissa.Length > 1 ? $".{mantissa[1..]}" : string.Empty;
            return string.Create(CultureInfo.InvariantCulture, $"{sign}{mantissa[0]}{fraction}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}");
        }

        if (exponent < 0)
        {
            return $"{sign}0.{new string('0', -exponent - 1)}{mantissa}";
        }

        mantissa = mantissa.PadRight(exponent + 2, '0');
        return $"{sign}{mantissa[..(exponent + 1)]}.{mantissa[(exponent + 1)..]}";
    }

    /// <summary>A text in quotes, as Python's <c>repr</c> writes it.</summary>
    internal static string Repr(string text)
    {
        var quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        var builder = new StringBuilder(text.Length + 2).Append(quote);
        foreach (var rune in text.EnumerateRunes())
        {
            _ = rune.Value switch
            {
                '\n' => builder.Append("\\n"),
                '\r' => builder.Append("\\r"),
                '\t' => builder.Append("\\t"),
                '\\' => builder.Append("\\\\"),
                _ when rune.Value == quote => builder.Append('\\').Append(quote),
                ' ' => builder.Append(' '),
                _ when IsPrintable(rune) => builder.Append(rune.ToString()),
                < 0x100 => builder.Append(CultureInfo.InvariantCulture, $"\\x{rune.Value:x2}"),
                < 0x10000 => builder.Append(CultureInfo.InvariantCulture, $"\\u{rune.Value:x4}"),
                _ => builder.Append(CultureInfo.InvariantCulture, $"\\U{rune.Value:x8}"),
            };
        }

        return builder.Append(quote).ToString();
    }

    private static bool IsPrintable(Rune rune) => Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate
        or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);

    private static bool IsFinalSigma(string text, int at)
    {
        var before = at - 1;
        while (before >= 0 && IsIgnored(text[before]))
        {
            before--;
        }

        var after = at + 1;
        while (after < text.Length && IsIgnored(text[after]))
        {
            after++;
        }

        return before >= 0 && char.IsLetter(text[before]) && (after >= text.Length || !char.IsLetter(text[after]));

        static bool IsIgnored(char unit) => unit is '\'' or '.' or ':' or '·' or '\u00AD' || CharUnicodeInfo.GetUnicodeCategory(unit) is UnicodeCategory.NonSpacingMark or UnicodeCategory.Format;
    }

    private static string TitleHead(string text, out string rest)
    {
        var length = text.Length > 1 && char.IsSurrogatePair(text[0], text[1]) ? 2 : 1;
        rest = text[length..];
        var upper = Upper(text[..length]);

        // Title case of an expanding letter capitalises only its first part (ß to Ss).
        return upper.Length > length && SpecialUpper.ContainsKey(text[0]) ? upper[..1] + Lower(upper[1..]) : upper;
    }
}
