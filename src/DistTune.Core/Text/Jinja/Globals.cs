using System.Globalization;

namespace DistTune.Core.Text.Jinja;

/// <summary>The functions that every chat template may call.</summary>
internal static class Globals
{
    private const int MaximumRange = 100_000;

    internal static Scope Create()
    {
        var scope = new Scope(null);
        scope.Set("raise_exception", new Function("raise_exception", (_, arguments) => throw new TemplateException("TemplateError", Values.Print(arguments.Get(0, "message")))));
        scope.Set("namespace", new Function("namespace", CreateNamespace));
        scope.Set("dict", new Function("dict", CreateDictionary));
        scope.Set("range", new Function("range", Range));
        scope.Set("strftime_now", new Function("strftime_now", (context, arguments) => Date(context.Now, Values.ToText(arguments.Get(0, "format")))));
        scope.Set("joiner", new Function("joiner", (_, arguments) =>
        {
            var used = false;
            return new Function("joiner", (_, _) =>
            {
                var text = used ? arguments.Get(0, "sep", ", ") : string.Empty;
                used = true;
                return text;
            });
        }));
        return scope;
    }

    private static Namespace CreateNamespace(RenderContext context, Arguments arguments)
    {
        var names = new Namespace();
        foreach (var source in arguments.Positional.OfType<PyDict>())
        {
            foreach (var (key, value) in source.Items)
            {
                names.Items[Lookup.CheckedNamespaceKey(Values.Print(key))] = value;
            }
        }

        foreach (var (name, value) in arguments.Named)
        {
            names.Items[Lookup.CheckedNamespaceKey(name)] = value;
        }

        return names;
    }

    private static PyDict CreateDictionary(RenderContext context, Arguments arguments)
    {
        var dictionary = new PyDict();
        if (arguments.Get(0, string.Empty) is { } source)
        {
            foreach (var entry in source is PyDict given ? Lookup.Items(given).Items : Values.Iterate(source))
            {
                var pair = Values.Iterate(entry);
                dictionary.Set(pair[0], pair.Count == 2 ? pair[1] : throw new TemplateException("ValueError", "dictionary update sequence element has the wrong length; 2 is required"));
            }
        }

        foreach (var (name, value) in arguments.Named)
        {
            dictionary.Set(name, value);
        }

        return dictionary;
    }

    private static PyList Range(RenderContext context, Arguments arguments)
    {
        var numbers = arguments.Positional.ConvertAll(Values.ToLong);
        var (start, stop, step) = numbers.Count switch
        {
            1 => (0L, numbers[0], 1L),
            2 => (numbers[0], numbers[1], 1L),
            3 => (numbers[0], numbers[1], numbers[2]),
            _ => throw new TemplateException("TypeError", $"range expected 1 to 3 arguments, got {numbers.Count}"),
        };
        if (step == 0)
        {
            throw new TemplateException("ValueError", "range() arg 3 must not be zero");
        }

        var count = step > 0 ? ((Int128)stop - start + step - 1) / step : ((Int128)start - stop - step - 1) / -(Int128)step;
        if (count > MaximumRange)
        {
            throw new TemplateException("OverflowError", $"Range too big. The sandbox blocks ranges larger than MAX_RANGE ({MaximumRange}).");
        }

        context.Charge(Math.Max(0, (long)count) * Expression.Cost);
        return new PyList(Enumerable.Range(0, (int)Int128.Max(0, count)).Select(object? (index) => start + (index * step)));
    }

    /// <summary>The C library's <c>strftime</c> in the C locale.</summary>
    private static string Date(DateTimeOffset time, string format)
    {
        var invariant = CultureInfo.InvariantCulture;
        var text = new System.Text.StringBuilder();
        for (var at = 0; at < format.Length; at++)
        {
            if (format[at] != '%' || at + 1 == format.Length)
            {
                text.Append(format[at]);
                continue;
            }

            var unpadded = format[at + 1] == '-' && at + 2 < format.Length;
            at += unpadded ? 2 : 1;
            var part = format[at] switch
            {
                'Y' => time.ToString("yyyy", invariant),
                'y' => time.ToString("yy", invariant),
                'm' => time.ToString("MM", invariant),
                'd' => time.ToString("dd", invariant),
                'H' => time.ToString("HH", invariant),
                'I' => time.ToString("hh", invariant),
                'M' => time.ToString("mm", invariant),
                'S' => time.ToString("ss", invariant),
                'B' => time.ToString("MMMM", invariant),
                'b' or 'h' => time.ToString("MMM", invariant),
                'A' => time.ToString("dddd", invariant),
                'a' => time.ToString("ddd", invariant),
                'p' => time.ToString("tt", invariant),
                'j' => time.DayOfYear.ToString("000", invariant),
                'F' => time.ToString("yyyy-MM-dd", invariant),
                'T' => time.ToString("HH:mm:ss", invariant),
                'D' => time.ToString("MM/dd/yy", invariant),
                'e' => time.Day.ToString(invariant).PadLeft(2),
                'n' => "\n",
                't' => "\t",
                '%' => "%",
                var other => throw new TemplateException("ValueError", $"strftime_now does not know %{other}"),
            };
            text.Append(unpadded ? part.TrimStart('0', ' ') : part);
        }

        return text.ToString();
    }
}
