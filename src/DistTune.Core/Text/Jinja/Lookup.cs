using System.Numerics;

namespace DistTune.Core.Text.Jinja;

/// <summary>Attributes, items and slices, with the rules of Jinja's sandbox.</summary>
internal static class Lookup
{
    private static readonly string[] UnsafeList = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
    private static readonly string[] UnsafeDict = ["clear", "pop", "popitem", "setdefault", "update"];

    /// <summary><c>x.name</c>: a method first, then an item.</summary>
    internal static object? Attribute(object? target, string name) =>
        Method(target, name) ?? (target is PyDict dictionary && dictionary.TryGet(name, out var value) ? value : Missing(target, name));

    /// <summary><c>x[key]</c>: an item first, then an attribute.</summary>
    internal static object? Item(object? target, object? key)
    {
        switch (target)
        {
            case Undefined undefined:
                throw undefined.Fault();
            case PyDict dictionary when dictionary.TryGet(key, out var value):
                return value;
            case PyList or PyTuple or string when key is long or bool:
                var items = Values.Iterate(target);
                var index = Values.ToLong(key);
                index += index < 0 ? items.Count : 0;
                return index >= 0 && index < items.Count ? items[(int)index] : new Undefined($"{TypeRepr(target)} has no element {Values.Repr(key)}");
        }

        return key is string name ? Method(target, name) ?? Missing(target, name) : new Undefined($"{TypeRepr(target)} has no element {Values.Repr(key)}");
    }

    /// <summary><c>x[start:stop:step]</c>.</summary>
    internal static object? Slice(RenderContext context, object? target, long? start, long? stop, long? step)
    {
        if (target is Undefined undefined)
        {
            throw undefined.Fault();
        }

        if (target is not (string or PyList or PyTuple))
        {
            throw new TemplateException("TypeError", $"'{Values.TypeName(target)}' object is not subscriptable");
        }

        var items = Values.Iterate(target);
        var by = step ?? 1;
        if (by == 0)
        {
            throw new TemplateException("ValueError", "slice step cannot be zero");
        }

        context.Charge(items.Count);
        var (low, high) = by > 0 ? (0L, (long)items.Count) : (-1L, items.Count - 1L);
        var first = Bound(start, by > 0 ? low : high, items.Count, low, high);
        var last = Bound(stop, by > 0 ? high : low, items.Count, low, high);
        var picked = new List<object?>();
        for (var i = first; by > 0 ? i < last : i > last; i += by)
        {
            picked.Add(items[(int)i]);
        }

        return target switch
        {
            string => string.Concat(picked.Cast<string>()),
            PyTuple => new PyTuple([.. picked]),
            _ => new PyList(picked),
        };
    }

    /// <summary>A method or attribute that Python's objects have; null if there is none of that name.</summary>
    internal static object? Method(object? target, string name)
    {
        if (target is Undefined undefined)
        {
            throw undefined.Fault();
        }

        if (target is LoopState loop)
        {
            return loop.Attribute(name);
        }

        if (target is Namespace names)
        {
            return names.Items.TryGetValue(name, out var value) ? value : null;
        }

        if (name.StartsWith("__", StringComparison.Ordinal)
            || (target is PyList && UnsafeList.Contains(name, StringComparer.Ordinal))
            || (target is PyDict && UnsafeDict.Contains(name, StringComparer.Ordinal)))
        {
            return new Undefined($"access to attribute '{name}' of '{Values.TypeName(target)}' object is unsafe.", "SecurityError");
        }

        return target switch
        {
            string text => StringMethods.Find(text, name),
            PyDict dictionary => DictionaryMethod(dictionary, name),
            PyList list => SequenceMethod(list.Items, name, () => new PyList(list.Items)),
            PyTuple tuple => name == "copy" ? null : SequenceMethod(tuple.Items, name, () => tuple),
            _ => NumberMethod(target, name),
        };
    }

    internal static string CheckedNamespaceKey(string name) => !name.StartsWith('_')
        ? name
        : throw new TemplateException("SecurityError", $"Chat templates cannot store underscore-prefixed attributes on a namespace, but got '{name}'. Please rename the attribute.");

    private static Function? DictionaryMethod(PyDict dictionary, string name) => name switch
    {
        "get" => new Function(name, (_, arguments) => dictionary.TryGet(arguments.Get(0, "key"), out var value) ? value : arguments.Get(1, "default")),
        "keys" => new Function(name, (_, _) => new PyList(dictionary.Keys)),
        "values" => new Function(name, (_, _) => new PyList(dictionary.Items.Values)),
        "items" => new Function(name, (_, _) => Items(dictionary)),
        "copy" => new Function(name, (_, _) =>
        {
            var copy = new PyDict();
            foreach (var (key, value) in dictionary.Items)
            {
                copy.Items[key] = value;
            }

            return copy;
        }),
        _ => null,
    };

    internal static PyList Items(PyDict dictionary) => new(dictionary.Items.Select(object? (entry) => new PyTuple(PyDict.KeyComparer.ToValue(entry.Key), entry.Value)));

    private static Function? SequenceMethod(IList<object?> items, string name, Func<object> copy) => name switch
    {
        "count" => new Function(name, (_, arguments) => (long)items.Count(item => Values.AreEqual(item, arguments.Get(0, "value")))),
        "index" => new Function(name, (_, arguments) =>
        {
            var wanted = arguments.Get(0, "value");
            var index = items.ToList().FindIndex(item => Values.AreEqual(item, wanted));
            return index >= 0 ? (long)index : throw new TemplateException("ValueError", $"{Values.Repr(wanted)} is not in list");
        }),
        "copy" => new Function(name, (_, _) => copy()),
        _ => null,
    };

    private static Function? NumberMethod(object? target, string name) => (target, name) switch
    {
        (double number, "is_integer") => new Function(name, (_, _) => number == Math.Floor(number) && !double.IsInfinity(number)),
        (long, "is_integer") => new Function(name, (_, _) => true),
        (long number, "bit_length") => new Function(name, (_, _) => (long)(BigInteger.Abs(number).IsZero ? 0 : BigInteger.Abs(number).GetBitLength())),
        _ => null,
    };

    private static Undefined Missing(object? target, string name) => new($"{(target is null ? "'None'" : $"'{TypeRepr(target)}'")} has no attribute '{name}'");

    private static string TypeRepr(object? target) => target is null ? "None" : $"{Values.TypeName(target)} object";

    private static long Bound(long? value, long otherwise, int count, long low, long high) =>
        value is not { } given ? otherwise : Math.Clamp(given < 0 ? given + count : given, low, high);
}
