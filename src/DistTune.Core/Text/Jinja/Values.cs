using System.Globalization;
using System.Numerics;
using System.Text;

namespace DistTune.Core.Text.Jinja;

/// <summary>What a name, attribute or item that does not exist evaluates to: it prints as nothing and fails when it is used further.</summary>
internal sealed class Undefined(string reason, string errorType = "UndefinedError")
{
    internal string Reason => reason;

    internal TemplateException Fault() => new(errorType, reason);
}

/// <summary>A Python list; templates never change one in place.</summary>
internal sealed class PyList(List<object?> items)
{
    internal List<object?> Items => items;

    internal PyList(IEnumerable<object?> items)
        : this(items.ToList())
    {
    }
}

/// <summary>A Python tuple.</summary>
internal sealed class PyTuple(params object?[] items)
{
    internal object?[] Items => items;
}

/// <summary>A Python dictionary: keys in the order they were added.</summary>
internal sealed class PyDict
{
    internal OrderedDictionary<object, object?> Items { get; } = new(KeyComparer.Instance);

    internal void Set(object? key, object? value) => Items[key ?? KeyComparer.None] = value;

    internal bool TryGet(object? key, out object? value) => Items.TryGetValue(key ?? KeyComparer.None, out value);

    internal IEnumerable<object?> Keys => Items.Keys.Select(KeyComparer.ToValue);

    /// <summary>Keys are equal as Python has it: 1, 1.0 and True are one key.</summary>
    internal sealed class KeyComparer : IEqualityComparer<object>
    {
        internal static readonly object None = new();
        internal static readonly KeyComparer Instance = new();

        public new bool Equals(object? x, object? y) => Values.AreEqual(ToValue(x!), ToValue(y!));

        public int GetHashCode(object obj) => obj switch
        {
            string text => text.GetHashCode(StringComparison.Ordinal),
            bool flag => flag ? 1.0.GetHashCode() : 0.0.GetHashCode(),
            long number => ((double)number).GetHashCode(),
            double number => number.GetHashCode(),
            PyTuple tuple => tuple.Items.Length,
            _ => 0,
        };

        internal static object? ToValue(object key) => ReferenceEquals(key, None) ? null : key;
    }
}

/// <summary>An object whose attributes a template may set: <c>namespace(…)</c>.</summary>
internal sealed class Namespace
{
    internal Dictionary<string, object?> Items { get; } = new(StringComparer.Ordinal);
}

/// <summary>Arguments of a call.</summary>
internal sealed class Arguments(List<object?> positional, List<KeyValuePair<string, object?>> named)
{
    internal static Arguments Empty { get; } = new([], []);

    internal List<object?> Positional => positional;

    internal List<KeyValuePair<string, object?>> Named => named;

    internal int Count => positional.Count + named.Count;

    /// <summary>The argument at a position or of a name; <paramref name="otherwise"/> if it was not given.</summary>
    internal object? Get(int index, string name, object? otherwise = null)
    {
        if (index < positional.Count)
        {
            return positional[index];
        }

        foreach (var (key, value) in named)
        {
            if (key == name)
            {
                return value;
            }
        }

        return otherwise;
    }

    internal bool Has(int index, string name) => index < positional.Count || named.Exists(entry => entry.Key == name);

    internal Arguments After(int count) => new(positional.Skip(count).ToList(), named);

    /// <summary>The arguments with another one before them.</summary>
    internal Arguments Before(object? first) => new([first, .. positional], named);
}

/// <summary>Something that a template can call.</summary>
internal sealed class Function(string name, Func<RenderContext, Arguments, object?> invoke)
{
    internal string Name => name;

    internal object? Invoke(RenderContext context, Arguments arguments) => invoke(context, arguments);
}

/// <summary>Python's rules for truth, equality, order, iteration and printing of the values that a template sees.</summary>
internal static class Values
{
    internal static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        long number => number != 0,
        double number => number != 0,
        BigInteger number => !number.IsZero,
        string text => text.Length > 0,
        PyList list => list.Items.Count > 0,
        PyTuple tuple => tuple.Items.Length > 0,
        PyDict dictionary => dictionary.Items.Count > 0,
        _ => true,
    };

    internal static bool AreEqual(object? left, object? right) => (left, right) switch
    {
        (null, null) or (Undefined, Undefined) => true,
        (string a, string b) => string.Equals(a, b, StringComparison.Ordinal),
        (PyList a, PyList b) => AllEqual(a.Items, b.Items),
        (PyTuple a, PyTuple b) => AllEqual(a.Items, b.Items),
        (PyDict a, PyDict b) => SameSize(a, b) && a.Items.All(entry => b.Items.TryGetValue(entry.Key, out var other) && AreEqual(entry.Value, other)),
        (BigInteger a, BigInteger b) => a == b,
        _ when IsNumber(left) && IsNumber(right) => left is double || right is double ? ToDouble(left) == ToDouble(right) : ToLong(left) == ToLong(right),
        _ => ReferenceEquals(left, right),
    };

    /// <summary>Python's <c>&lt;</c> family: numbers, texts and sequences have an order among themselves.</summary>
    internal static int Compare(object? left, object? right, string symbol)
    {
        switch (left, right)
        {
            case (string a, string b):
                return PythonText.Compare(a, b);
            case (PyList a, PyList b):
                return CompareItems(a.Items, b.Items, symbol);
            case (PyTuple a, PyTuple b):
                return CompareItems(a.Items, b.Items, symbol);
            case (Undefined undefined, _):
                throw undefined.Fault();
            case (_, Undefined undefined):
                throw undefined.Fault();
            case var _ when IsNumber(left) && IsNumber(right):
                return left is double || right is double ? ToDouble(left).CompareTo(ToDouble(right)) : ToLong(left).CompareTo(ToLong(right));
            default:
                throw new TemplateException("TypeError", $"'{symbol}' not supported between instances of '{TypeName(left)}' and '{TypeName(right)}'");
        }
    }

    internal static bool IsNumber(object? value) => value is long or double or bool;

    internal static double ToDouble(object? value) => value switch { double number => number, long number => number, bool flag => flag ? 1 : 0, _ => throw Expected("a number", value) };

    internal static long ToLong(object? value) => value switch { long number => number, bool flag => flag ? 1 : 0, _ => throw Expected("an integer", value) };

    internal static string ToText(object? value) => value switch { string text => text, Undefined undefined => throw undefined.Fault(), _ => throw Expected("a string", value) };

    internal static IReadOnlyList<object?> Iterate(object? value) => value switch
    {
        PyList list => list.Items,
        PyTuple tuple => tuple.Items,
        PyDict dictionary => dictionary.Keys.ToList(),
        string text => PythonText.Characters(text).ToList<object?>(),
        Undefined { Reason: var _ } undefined => IsPlain(undefined) ? [] : throw undefined.Fault(),
        _ => throw new TemplateException("TypeError", $"'{TypeName(value)}' object is not iterable"),
    };

    internal static long Length(object? value) => value switch
    {
        string text => PythonText.Length(text),
        PyList list => list.Items.Count,
        PyTuple tuple => tuple.Items.Length,
        PyDict dictionary => dictionary.Items.Count,
        Undefined => 0,
        _ => throw new TemplateException("TypeError", $"object of type '{TypeName(value)}' has no len()"),
    };

    internal static bool Contains(object? container, object? item) => container switch
    {
        string text => text.Contains(item as string ?? throw new TemplateException("TypeError", $"'in <string>' requires string as left operand, not {TypeName(item)}"), StringComparison.Ordinal),
        PyDict dictionary => dictionary.TryGet(item, out _),
        _ => IterateCharged(container).Any(other => AreEqual(other, item)),
    };

    /// <summary>Python's <c>str()</c>.</summary>
    internal static string Print(object? value) => value switch
    {
        string text => text,
        Undefined => string.Empty,
        _ => Repr(value),
    };

    /// <summary>Python's <c>repr()</c>.</summary>
    internal static string Repr(object? value)
    {
        var builder = new StringBuilder();
        AppendRepr(builder, value, 0);
        return builder.ToString();
    }

    internal static string TypeName(object? value) => value switch
    {
        null => "NoneType",
        bool => "bool",
        long or BigInteger => "int",
        double => "float",
        string => "str",
        PyList => "list",
        PyTuple => "tuple",
        PyDict => "dict",
        Undefined => "Undefined",
        Namespace => "Namespace",
        _ => "function",
    };

    private static bool IsPlain(Undefined undefined) => undefined.Fault().ErrorType == "UndefinedError";

    private static IReadOnlyList<object?> IterateCharged(object? container)
    {
        var items = Iterate(container);
        RenderContext.ChargeRunning(items.Count);
        return items;
    }

    private static bool SameSize(PyDict left, PyDict right)
    {
        RenderContext.ChargeRunning(Expression.Cost + (long)left.Items.Count);
        return left.Items.Count == right.Items.Count;
    }

    private static bool AllEqual(IList<object?> left, IList<object?> right)
    {
        RenderContext.ChargeRunning(Expression.Cost + (long)left.Count);
        if (left.Count != right.Count)
        {
            return false;
        }

        for (var i = 0; i < left.Count; i++)
        {
            if (!AreEqual(left[i], right[i]))
            {
                return false;
            }
        }

        return true;
    }

    private static int CompareItems(IList<object?> left, IList<object?> right, string symbol)
    {
        RenderContext.ChargeRunning(Expression.Cost + (long)left.Count);
        for (var i = 0; i < Math.Min(left.Count, right.Count); i++)
        {
            if (!AreEqual(left[i], right[i]))
            {
                return Compare(left[i], right[i], symbol);
            }
        }

        return left.Count.CompareTo(right.Count);
    }

    private static void AppendRepr(StringBuilder builder, object? value, int depth)
    {
        if (depth > RenderContext.MaximumDepth)
        {
            throw new TemplateException("RecursionError", "maximum recursion depth exceeded");
        }

        switch (value)
        {
            case null:
                builder.Append("None");
                break;
            case bool flag:
                builder.Append(flag ? "True" : "False");
                break;
            case long number:
                builder.Append(number.ToString(CultureInfo.InvariantCulture));
                break;
            case BigInteger number:
                builder.Append(number.ToString(CultureInfo.InvariantCulture));
                break;
            case double number:
                builder.Append(PythonText.Float(number));
                break;
            case string text:
                builder.Append(PythonText.Repr(text));
                break;
            case PyList list:
                AppendItems(builder.Append('['), list.Items, depth).Append(']');
                break;
            case PyTuple tuple:
                AppendItems(builder.Append('('), tuple.Items, depth).Append(tuple.Items.Length == 1 ? ",)" : ")");
                break;
            case PyDict dictionary:
                AppendDictionary(builder, dictionary, depth);
                break;
            case Function function:
                builder.Append("<function ").Append(function.Name).Append('>');
                break;
            default:
                builder.Append(TypeName(value));
                break;
        }

        if (builder.Length > RenderContext.MaximumTextLength)
        {
            throw RenderContext.TooLong();
        }
    }

    private static StringBuilder AppendItems(StringBuilder builder, IEnumerable<object?> items, int depth)
    {
        var first = true;
        foreach (var item in items)
        {
            builder.Append(first ? string.Empty : ", ");
            AppendRepr(builder, item, depth + 1);
            first = false;
        }

        return builder;
    }

    private static void AppendDictionary(StringBuilder builder, PyDict dictionary, int depth)
    {
        builder.Append('{');
        var first = true;
        foreach (var (key, value) in dictionary.Items)
        {
            builder.Append(first ? string.Empty : ", ");
            AppendRepr(builder, PyDict.KeyComparer.ToValue(key), depth + 1);
            builder.Append(": ");
            AppendRepr(builder, value, depth + 1);
            first = false;
        }

        builder.Append('}');
    }

    private static TemplateException Expected(string what, object? value) => new("TypeError", $"expected {what}, got {TypeName(value)}");
}
