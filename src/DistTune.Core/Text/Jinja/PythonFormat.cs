using System.Globalization;
using System.Text;

namespace DistTune.Core.Text.Jinja;

/// <summary>Python's <c>%</c> and <c>str.format</c> for texts, integers and floats.</summary>
internal static class PythonFormat
{
    /// <summary><c>format % values</c>.</summary>
    internal static string Percent(RenderContext context, string format, IReadOnlyList<object?> values)
    {
        var result = new StringBuilder();
        var next = 0;
        for (var at = 0; at < format.Length; at++)
        {
            if (format[at] != '%')
            {
                result.Append(format[at]);
                continue;
            }

            var start = ++at;
            while (at < format.Length && "-+ #0".Contains(format[at], StringComparison.Ordinal))
            {
                at++;
            }

            var flags = format[start..at];
            var width = Number(format, ref at);
            var precision = at < format.Length && format[at] == '.' ? PrecisionAfter(format, ref at) : -1;
            if (at >= format.Length)
            {
                throw new TemplateException("ValueError", "incomplete format");
            }

            if (format[at] == '%')
            {
                result.Append('%');
                continue;
            }

            if (next >= values.Count)
            {
                throw new TemplateException("TypeError", "not enough arguments for format string");
            }

            var text = Convert(format[at], values[next++], precision, flags.Contains('+', StringComparison.Ordinal) ? "+" : string.Empty);
            var zero = flags.Contains('0', StringComparison.Ordinal) && !flags.Contains('-', StringComparison.Ordinal) && format[at] is not ('s' or 'r');
            result.Append(Pad(context, text, width, zero ? '0' : ' ', flags.Contains('-', StringComparison.Ordinal) ? '<' : zero ? '=' : '>'));
            context.ChargeText(result.Length);
        }

        return next == values.Count ? result.ToString() : throw new TemplateException("TypeError", "not all arguments converted during string formatting");
    }

    /// <summary><c>text.format(…)</c>.</summary>
    internal static object? Format(RenderContext context, string text, Arguments arguments)
    {
        var result = new StringBuilder();
        var automatic = 0;
        for (var at = 0; at < text.Length; at++)
        {
            if (text[at] is '{' or '}' && at + 1 < text.Length && text[at + 1] == text[at])
            {
                result.Append(text[at++]);
                continue;
            }

            if (text[at] is not ('{' or '}'))
            {
                result.Append(text[at]);
                continue;
            }

            var end = text[at] == '{' ? text.IndexOf('}', at) : -1;
            if (end < 0)
            {
                throw new TemplateException("ValueError", $"Single '{text[at]}' encountered in format string");
            }

            var field = text[(at + 1)..end];
            var colon = field.IndexOf(':', StringComparison.Ordinal);
            var name = colon < 0 ? field : field[..colon];
            var value = name.Length == 0 ? Positional(arguments, automatic++)
                : int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var index) ? Positional(arguments, index)
                : Named(arguments, name);
            result.Append(Specified(context, value, colon < 0 ? string.Empty : field[(colon + 1)..]));
            context.ChargeText(result.Length);
            at = end;
        }

        return result.ToString();
    }

    private static object? Positional(Arguments arguments, int index) => index < arguments.Positional.Count
        ? arguments.Positional[index]
        : throw new TemplateException("IndexError", $"Replacement index {index} out of range for positional args tuple");

    private static object? Named(Arguments arguments, string name) => arguments.Has(int.MaxValue, name)
        ? arguments.Get(int.MaxValue, name)
        : throw new TemplateException("KeyError", PythonText.Repr(name));

    private static string Specified(RenderContext context, object? value, string spec)
    {
        var at = 0;
        var (fill, align) = (' ', '\0');
        if (spec.Length > 1 && spec[1] is '<' or '>' or '^' or '=')
        {
            (fill, align, at) = (spec[0], spec[1], 2);
        }
        else if (spec.Length > 0 && spec[0] is '<' or '>' or '^' or '=')
        {
            (align, at) = (spec[0], 1);
        }

        var sign = at < spec.Length && spec[at] is '+' or '-' or ' ' ? spec[at++].ToString() : string.Empty;
        if (at < spec.Length && spec[at] == '0')
        {
            (fill, align) = ('0', align == '\0' ? '=' : align);
            at++;
        }

        var width = Number(spec, ref at);
        var grouped = at < spec.Length && spec[at] is ',' or '_' ? spec[at++] : '\0';
        var precision = at < spec.Length && spec[at] == '.' ? PrecisionAfter(spec, ref at) : -1;
        var type = at < spec.Length ? spec[at++] : value is string or null or bool or PyList or PyDict or PyTuple or Undefined ? 's' : value is double ? (precision < 0 ? 'r' : 'g') : 'd';
        if (at != spec.Length)
        {
            throw new TemplateException("ValueError", $"Invalid format specifier '{spec}'");
        }

        var text = Convert(type, value, precision, sign == "-" ? string.Empty : sign);
        return Pad(context, grouped == '\0' ? text : Group(text, grouped), width, fill, align == '\0' ? (type is 's' or 'r' && value is not double ? '<' : '>') : align);
    }

    private static string Convert(char type, object? value, int precision, string plus)
    {
        if (precision > 100)
        {
            throw new TemplateException("ValueError", $"a precision of {precision} digits is too large");
        }

        switch (type)
        {
            case 's':
                return precision < 0 ? Values.Print(value) : string.Concat(PythonText.Characters(Values.Print(value)).Take(precision));
            case 'r':
                return Values.Repr(value);
            case 'd' or 'i' or 'u':
                return Signed(value is double fraction ? Math.Truncate(fraction).ToString("F0", CultureInfo.InvariantCulture) : Values.ToLong(value).ToString(CultureInfo.InvariantCulture), plus);
            case 'x':
                return Values.ToLong(value) is var number && number < 0 ? "-" + (-number).ToString("x", CultureInfo.InvariantCulture) : number.ToString("x", CultureInfo.InvariantCulture);
            case 'X':
                return Convert('x', value, precision, plus).ToUpperInvariant();
            case 'f' or 'F':
                return Signed(Values.ToDouble(value).ToString($"F{(precision < 0 ? 6 : precision)}", CultureInfo.InvariantCulture), plus);
            case '%':
                return Signed((Values.ToDouble(value) * 100).ToString($"F{(precision < 0 ? 6 : precision)}", CultureInfo.InvariantCulture) + "%", plus);
            case 'e' or 'E':
                return Signed(Values.ToDouble(value).ToString($"{type}{(precision < 0 ? 6 : precision)}", CultureInfo.InvariantCulture).Replace("+0", "+", StringComparison.Ordinal).Replace("-0", "-", StringComparison.Ordinal), plus);
            case 'g' or 'G':
                return Signed(Values.ToDouble(value).ToString($"G{(precision < 1 ? 6 : precision)}", CultureInfo.InvariantCulture).ToLowerInvariant(), plus);
            default:
                throw new TemplateException("ValueError", $"unsupported format character '{type}'");
        }
    }

    private static string Signed(string text, string plus) => text.StartsWith('-') ? text : plus + text;

    private static string Group(string text, char separator)
    {
        var start = text.StartsWith('-') || text.StartsWith('+') ? 1 : 0;
        var end = text.IndexOf('.', StringComparison.Ordinal);
        var builder = new StringBuilder(text);
        for (var at = (end < 0 ? text.Length : end) - 3; at > start; at -= 3)
        {
            builder.Insert(at, separator);
        }

        return builder.ToString();
    }

    private static string Pad(RenderContext context, string text, int width, char fill, char align)
    {
        if (align == '=' && text.Length > 0 && text[0] is '-' or '+')
        {
            return text[0] + StringMethods.Pad(context, text[1..], width - 1, fill, '>');
        }

        return StringMethods.Pad(context, text, width, fill, align == '=' ? '>' : align);
    }

    private static int PrecisionAfter(string format, ref int at)
    {
        at++;
        return Number(format, ref at);
    }

    private static int Number(string format, ref int at)
    {
        var value = 0;
        for (; at < format.Length && char.IsAsciiDigit(format[at]); at++)
        {
            value = Math.Min((value * 10) + (format[at] - '0'), RenderContext.MaximumTextLength + 1);
            value = Math.Min(value, 100_000_000);
        }

        return value;
    }
}
