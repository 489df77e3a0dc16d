using System.Globalization;

namespace DistTune.Core.Text.Jinja;

/// <summary>Jinja's filters: the general ones here, those on lists in <see cref="ListFilters"/>.</summary>
internal static class Filters
{
    internal delegate object? Body(RenderContext context, object? value, Arguments arguments);

    private static readonly Dictionary<string, Body> Known = new(ListFilters.All, StringComparer.Ordinal)
    {
        ["trim"] = (_, value, arguments) => StringMethods.Strip(Values.Print(value), arguments.Get(0, "chars"), true, true),
        ["upper"] = (_, value, _) => PythonText.Upper(Values.Print(value)),
        ["lower"] = (_, value, _) => PythonText.Lower(Values.Print(value)),
        ["capitalize"] = (_, value, _) => PythonText.Capitalize(Values.Print(value)),
        ["title"] = (_, value, _) => PythonText.Title(Values.Print(value)),
        ["string"] = (_, value, _) => Values.Print(value),
        ["safe"] = (_, value, _) => Values.Print(value),
        ["escape"] = (context, value, _) => Escape(context, value),
        ["e"] = (context, value, _) => Escape(context, value),
        ["forceescape"] = (context, value, _) => Escape(context, value),
        ["tojson"] = (context, value, arguments) => PythonJson.Write(context, Defined(value), arguments),
        ["default"] = Default,
        ["d"] = Default,
        ["length"] = (_, value, _) => Values.Length(value),
        ["count"] = (_, value, _) => Values.Length(value),
        ["replace"] = (context, value, arguments) => StringMethods.Replace(
            context, Values.Print(value), Values.Print(arguments.Get(0, "old")), Values.Print(arguments.Get(1, "new")), arguments.Get(2, "count") is { } count ? Values.ToLong(count) : -1),
        ["indent"] = Indent,
        ["truncate"] = Truncate,
        ["wordcount"] = (_, value, _) => (long)Words(Values.Print(value)),
        ["center"] = (context, value, arguments) => StringMethods.Pad(context, Values.Print(value), Values.ToLong(arguments.Get(0, "width", 80L)), ' ', '^'),
        ["format"] = (context, value, arguments) => PythonFormat.Percent(context, Values.Print(value), arguments.Positional),
        ["int"] = ToInteger,
        ["float"] = ToFloat,
        ["abs"] = (_, value, _) => Defined(value) is double number ? (object)Math.Abs(number) : Values.ToLong(value) is var integer && integer < 0 ? PythonArithmetic.Negate(integer) : integer,
        ["round"] = Round,
        ["attr"] = (_, value, arguments) => Lookup.Method(value, Values.ToText(arguments.Get(0, "name")))
            ?? new Undefined($"'{Values.TypeName(value)} object' has no attribute '{arguments.Get(0, "name")}'"),
    };

    internal static bool Exists(string name) => Known.ContainsKey(name);

    internal static object? Apply(RenderContext context, string name, object? value, Arguments arguments)
    {
        if (!Known.TryGetValue(name, out var filter))
        {
            throw Unknown(name);
        }

        context.Charge(value is string text ? text.Length : Expression.Cost);
        return filter(context, value, arguments);
    }

    internal static TemplateException Unknown(string name) => new("TemplateAssertionError", $"No filter named '{name}'.");

    private static object? Defined(object? value) => value is Undefined undefined ? throw undefined.Fault() : value;

    private static object? Default(RenderContext context, object? value, Arguments arguments) =>
        value is Undefined || (Values.IsTrue(arguments.Get(1, "boolean")) && !Values.IsTrue(value)) ? arguments.Get(0, "default_value", string.Empty) : value;

    private static string Escape(RenderContext context, object? value)
    {
        var text = Values.Print(value);
        context.ChargeText(text.Length * 5L);
        return text.Replace("&", "&amp;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal)
            .Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal);
    }

    private static object Indent(RenderContext context, object? value, Arguments arguments)
    {
        var width = arguments.Get(0, "width", 4L);
        var prefix = width as string ?? StringMethods.Pad(context, string.Empty, Values.ToLong(width), ' ', '<');
        var first = Values.IsTrue(arguments.Get(1, "first"));
        var blank = Values.IsTrue(arguments.Get(2, "blank"));

        // A last line break counts as the start of one more, empty line.
        var lines = StringMethods.Lines(Values.Print(value) + "\n", keepEnds: false).ToList();
        context.ChargeText(lines.Sum(line => (long)line.Length + prefix.Length + 1));
        return string.Join('\n', lines.Select((line, index) => (index == 0 ? first : blank || line.Length > 0) ? prefix + line : line));
    }

    private static object Truncate(RenderContext context, object? value, Arguments arguments)
    {
        var characters = PythonText.Characters(Values.Print(value));
        var length = Values.ToLong(arguments.Get(0, "length", 255L));
        var end = Values.Print(arguments.Get(2, "end", "..."));
        var leeway = arguments.Get(3, "leeway") is { } given ? Values.ToLong(given) : 5;
        if (characters.Count <= length + leeway)
        {
            return string.Concat(characters);
        }

        var head = string.Concat(characters.Take((int)Math.Max(0, length - PythonText.Length(end))));
        var space = head.LastIndexOf(' ');
        return (Values.IsTrue(arguments.Get(1, "killwords")) || space < 0 ? head : head[..space]) + end;
    }

    private static int Words(string text)
    {
        var (count, inWord) = (0, false);
        foreach (var unit in text)
        {
            var word = char.IsLetterOrDigit(unit) || unit == '_';
            count += word && !inWord ? 1 : 0;
            inWord = word;
        }

        return count;
    }

    private static object? ToInteger(RenderContext context, object? value, Arguments arguments)
    {
        var otherwise = arguments.Get(0, "default", 0L);
        switch (value)
        {
            case long or bool:
                return Values.ToLong(value);
            case double number:
                return double.IsFinite(number) && Math.Abs(number) < 9e18 ? (object)(long)number : otherwise;
            case string text:
                var digits = PythonText.Trim(text).Replace("_", string.Empty, StringComparison.Ordinal);
                var numberBase = Values.ToLong(arguments.Get(1, "base", 10L));
                if (numberBase == 10 ? long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var parsed) : TryParse(digits, numberBase, out parsed))
                {
                    return parsed;
                }

                return double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out var fraction) && Math.Abs(fraction) < 9e18 ? (object)(long)fraction : otherwise;
            default:
                return otherwise;
        }
    }

    private static bool TryParse(string text, long numberBase, out long value)
    {
        value = 0;
        var negative = text.StartsWith('-');
        var digits = text.TrimStart('+', '-');
        digits = digits.Length > 2 && digits[0] == '0' && char.ToLowerInvariant(digits[1]) is 'x' or 'o' or 'b' ? digits[2..] : digits;
        foreach (var digit in digits)
        {
            var number = char.IsAsciiDigit(digit) ? digit - '0' : char.IsAsciiLetter(digit) ? (digit | 0x20) - 'a' + 10 : int.MaxValue;
            if (number >= numberBase || value > (long.MaxValue / 64))
            {
                return false;
            }

            value = (value * numberBase) + number;
        }

        value = negative ? -value : value;
        return digits.Length > 0;
    }

    private static object? ToFloat(RenderContext context, object? value, Arguments arguments) => value switch
    {
        long or bool or double => Values.ToDouble(value),
        string text when double.TryParse(PythonText.Trim(text), NumberStyles.Float, CultureInfo.InvariantCulture, out var number) => number,
        _ => arguments.Get(0, "default", 0.0),
    };

    private static object Round(RenderContext context, object? value, Arguments arguments)
    {
        var number = Values.ToDouble(Defined(value));
        var precision = (int)Math.Clamp(Values.ToLong(arguments.Get(0, "precision", 0L)), -300, 300);
        var scale = Math.Pow(10, precision);
        return Values.ToText(arguments.Get(1, "method", "common")) switch
        {
            "ceil" => Math.Ceiling(number * scale) / scale,
            "floor" => Math.Floor(number * scale) / scale,
            "common" => precision is >= 0 and <= 15 ? (double)Math.Round((decimal)number, precision, MidpointRounding.ToEven) : Math.Round(number * scale, MidpointRounding.ToEven) / scale,
            _ => throw new TemplateException("FilterArgumentError", "method must be common, ceil or floor"),
        };
    }
}
