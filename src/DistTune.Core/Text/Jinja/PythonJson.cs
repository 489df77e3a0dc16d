using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;

namespace DistTune.Core.Text.Jinja;

/// <summary>Between JSON and the values of a template; writes as Python's <c>json.dumps</c>.</summary>
internal static class PythonJson
{
    /// <summary>The value of a JSON element; keys keep their order.</summary>
    internal static object? ToValue(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.String => element.GetString(),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Number => ToNumber(element),
        JsonValueKind.Array => new PyList(element.EnumerateArray().Select(ToValue)),
        JsonValueKind.Object => ToDictionary(element),
        _ => null,
    };

    /// <summary><c>json.dumps(value, ensure_ascii=…, indent=…, separators=…, sort_keys=…)</c>.</summary>
    internal static string Write(RenderContext context, object? value, Arguments arguments)
    {
        var indent = arguments.Get(1, "indent") switch { null => null, string text => text, var count => new string(' ', (int)Math.Clamp(Values.ToLong(count), 0, 64)) };
        var separators = arguments.Get(2, "separators") is { } pair ? Values.Iterate(pair).Select(Values.ToText).ToArray() : [indent is null ? ", " : ",", ": "];
        if (separators.Length != 2)
        {
            throw new TemplateException("ValueError", $"separators must be two texts, got {separators.Length}");
        }

        var writer = new Writer(context, Values.IsTrue(arguments.Get(0, "ensure_ascii", false)), indent, separators[0], separators[1], Values.IsTrue(arguments.Get(3, "sort_keys")));
        writer.Append(value, 0);
        return writer.Text.ToString();
    }

    private static object ToNumber(JsonElement element)
    {
        var text = element.GetRawText();
        return text.AsSpan().ContainsAny('.', 'e', 'E') ? element.GetDouble()
            : element.TryGetInt64(out var number) ? (object)number
            : BigInteger.Parse(text, CultureInfo.InvariantCulture);
    }

    private static PyDict ToDictionary(JsonElement element)
    {
        var dictionary = new PyDict();
        foreach (var property in element.EnumerateObject())
        {
            dictionary.Set(property.Name, ToValue(property.Value));
        }

        return dictionary;
    }

    private sealed class Writer(RenderContext context, bool ascii, string? indent, string itemSeparator, string keySeparator, bool sortKeys)
    {
        internal StringBuilder Text { get; } = new();

        internal void Append(object? value, int depth)
        {
            context.Charge(Expression.Cost);
            context.ChargeText(Text.Length > RenderContext.MaximumTextLength ? long.MaxValue : 0);
            if (depth > RenderContext.MaximumDepth)
            {
                throw new TemplateException("RecursionError", "maximum recursion depth exceeded");
            }

            switch (value)
            {
                case null:
                    Text.Append("null");
                    break;
                case bool flag:
                    Text.Append(flag ? "true" : "false");
                    break;
                case string text:
                    AppendText(text);
                    break;
                case double number:
                    Text.Append(double.IsNaN(number) ? "NaN" : double.IsInfinity(number) ? (number > 0 ? "Infinity" : "-Infinity") : PythonText.Float(number));
                    break;
                case long or BigInteger:
                    Text.Append(Values.Repr(value));
                    break;
                case PyList list:
                    AppendAll('[', ']', list.Items, depth, item => Append(item, depth + 1));
                    break;
                case PyTuple tuple:
                    AppendAll('[', ']', tuple.Items, depth, item => Append(item, depth + 1));
                    break;
                case PyDict dictionary:
                    AppendDictionary(dictionary, depth);
                    break;
                default:
                    throw new TemplateException("TypeError", $"Object of type {Values.TypeName(value)} is not JSON serializable");
            }
        }

        private void AppendDictionary(PyDict dictionary, int depth)
        {
            var entries = dictionary.Items.Select(entry => (Key: PyDict.KeyComparer.ToValue(entry.Key), entry.Value)).ToList();
            if (sortKeys)
            {
                entries.Sort((a, b) => PythonText.Compare(Values.Print(a.Key), Values.Print(b.Key)));
            }

            AppendAll('{', '}', entries, depth, entry =>
            {
                AppendText(entry.Key switch
                {
                    string text => text,
                    null => "null",
                    bool flag => flag ? "true" : "false",
                    long or double => Values.Repr(entry.Key),
                    var key => throw new TemplateException("TypeError", $"keys must be str, int, float, bool or None, not {Values.TypeName(key)}"),
                });
                Text.Append(keySeparator);
                Append(entry.Value, depth + 1);
            });
        }

        private void AppendAll<T>(char open, char close, IEnumerable<T> items, int depth, Action<T> append)
        {
            Text.Append(open);
            var first = true;
            foreach (var item in items)
            {
                Text.Append(first ? string.Empty : itemSeparator);
                NewLine(depth + 1);
                append(item);
                first = false;
            }

            if (!first)
            {
                NewLine(depth);
            }

            Text.Append(close);
        }

        private void NewLine(int depth)
        {
            if (indent is not null)
            {
                context.ChargeText((long)indent.Length * depth);
                Text.Append('\n').Insert(Text.Length, indent, depth);
            }
        }

        private void AppendText(string text)
        {
            context.ChargeText(text.Length);
            Text.Append('"');
            foreach (var unit in text)
            {
                _ = unit switch
                {
                    '"' => Text.Append("\\\""),
                    '\\' => Text.Append("\\\\"),
                    '\n' => Text.Append("\\n"),
                    '\r' => Text.Append("\\r"),
                    '\t' => Text.Append("\\t"),
                    '\f' => Text.Append("\\f"),
                    '\b' => Text.Append("\\b"),
                    < ' ' => Text.Append(CultureInfo.InvariantCulture, $"\\u{(int)unit:x4}"),
                    >= '\u007F' when ascii && unit != '\u007F' => Text.Append(CultureInfo.InvariantCulture, $"\\u{(int)unit:x4}"),
                    _ => Text.Append(unit),
                };
            }

            Text.Append('"');
        }
    }
}
