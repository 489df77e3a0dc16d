namespace DistTune.Core.Text.Jinja;

/// <summary>Jinja's filters on lists and dictionaries.</summary>
internal static class ListFilters
{
    internal static Dictionary<string, Filters.Body> All { get; } = new(StringComparer.Ordinal)
    {
        ["first"] = (_, value, _) => Values.Iterate(value) is { Count: > 0 } items ? items[0] : new Undefined("No first item, sequence was empty."),
        ["last"] = (_, value, _) => Values.Iterate(value) is { Count: > 0 } items ? items[^1] : new Undefined("No last item, sequence was empty."),
        ["list"] = (_, value, _) => new PyList(Values.Iterate(value)),
        ["reverse"] = (_, value, _) => value is string text ? PythonText.Reverse(text) : new PyList(Values.Iterate(value).Reverse()),
        ["join"] = Join,
        ["items"] = (_, value, _) => value switch
        {
            Undefined => new PyList(Enumerable.Empty<object?>()),
            PyDict dictionary => Lookup.Items(dictionary),
            _ => throw new TemplateException("TypeError", "Can only get item pairs from a mapping."),
        },
        ["dictsort"] = DictSort,
        ["sort"] = Sort,
        ["unique"] = Unique,
        ["sum"] = (context, value, arguments) => Picked(value, arguments, 0).Aggregate(arguments.Get(1, "start", 0L), (sum, item) => PythonArithmetic.Apply(context, "+", sum, item)),
        ["min"] = (_, value, arguments) => Extreme(value, arguments, -1),
        ["max"] = (_, value, arguments) => Extreme(value, arguments, 1),
        ["map"] = Map,
        ["select"] = (context, value, arguments) => Select(context, value, arguments, item => item, 0, true),
        ["reject"] = (context, value, arguments) => Select(context, value, arguments, item => item, 0, false),
        ["selectattr"] = (context, value, arguments) => Select(context, value, arguments, item => Path(item, arguments.Get(0, "attribute")), 1, true),
        ["rejectattr"] = (context, value, arguments) => Select(context, value, arguments, item => Path(item, arguments.Get(0, "attribute")), 1, false),
        ["groupby"] = GroupBy,
        ["batch"] = Batch,
        ["slice"] = Slice,
    };

    /// <summary><c>a.b.0</c> of an item.</summary>
    private static object? Path(object? item, object? path)
    {
        foreach (var part in path is string text ? text.Split('.') : [])
        {
            item = long.TryParse(part, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var index) ? Lookup.Item(item, index) : Lookup.Item(item, part);
        }

        return path is long number ? Lookup.Item(item, number) : item;
    }

    private static IEnumerable<object?> Picked(object? value, Arguments arguments, int index) =>
        arguments.Get(index, "attribute") is { } attribute ? Values.Iterate(value).Select(item => Path(item, attribute)) : Values.Iterate(value);

    private static string Join(RenderContext context, object? value, Arguments arguments) =>
        StringMethods.Join(context, Values.Print(arguments.Get(0, "d", string.Empty)), Picked(value, arguments, 1).Select(Values.Print).ToList());

    /// <summary>Case is ignored unless asked for; sorting is stable, as Python's.</summary>
    private static Comparer<object?> Order(bool caseSensitive, bool reverse) => Comparer<object?>.Create((left, right) =>
    {
        var (a, b) = caseSensitive ? (left, right) : (Fold(left), Fold(right));
        return (reverse ? -1 : 1) * Values.Compare(a, b, "<");
    });

    private static List<object?> Sorted(IEnumerable<object?> items, Func<object?, object?> key, IComparer<object?> order)
    {
        try
        {
            return [.. items.OrderBy(key, order)];
        }
        catch (InvalidOperationException error) when (error.InnerException is TemplateException fault)
        {
            throw new TemplateException(fault.ErrorType, fault.Reason);
        }
    }

    private static object? Fold(object? value) => value is string text ? PythonText.Lower(text) : value;

    private static PyList DictSort(RenderContext context, object? value, Arguments arguments)
    {
        var dictionary = value as PyDict ?? throw new TemplateException("TypeError", $"dictsort needs a mapping, got {Values.TypeName(value)}");
        var index = Values.ToText(arguments.Get(1, "by", "key")) == "value" ? 1 : 0;
        var order = Order(Values.IsTrue(arguments.Get(0, "case_sensitive")), Values.IsTrue(arguments.Get(2, "reverse")));
        return new PyList(Sorted(Lookup.Items(dictionary).Items, item => ((PyTuple)item!).Items[index], order));
    }

    private static PyList Sort(RenderContext context, object? value, Arguments arguments)
    {
        var order = Order(Values.IsTrue(arguments.Get(1, "case_sensitive")), Values.IsTrue(arguments.Get(0, "reverse")));
        return new PyList(Sorted(Values.Iterate(value), item => Path(item, arguments.Get(2, "attribute")), order));
    }

    private static PyList Unique(RenderContext context, object? value, Arguments arguments)
    {
        var seen = new PyDict();
        var caseSensitive = Values.IsTrue(arguments.Get(0, "case_sensitive"));
        return new PyList(Values.Iterate(value).Where(item =>
        {
            var key = Path(item, arguments.Get(1, "attribute"));
            key = caseSensitive ? key : Fold(key);
            var fresh = !seen.TryGet(key, out _);
            seen.Set(key, true);
            return fresh;
        }));
    }

    private static object? Extreme(object? value, Arguments arguments, int sign)
    {
        var order = Order(Values.IsTrue(arguments.Get(0, "case_sensitive")), reverse: false);
        var items = Values.Iterate(value);
        return items.Count == 0
            ? new Undefined("No aggregated item, sequence was empty.")
            : items.Aggregate((best, item) => sign * order.Compare(Path(item, arguments.Get(1, "attribute")), Path(best, arguments.Get(1, "attribute"))) > 0 ? item : best);
    }

    private static PyList Map(RenderContext context, object? value, Arguments arguments)
    {
        var items = Values.Iterate(value);
        if (arguments.Positional.Count == 0)
        {
            var attribute = arguments.Get(int.MaxValue, "attribute") ?? throw new TemplateException("FilterArgumentError", "map requires a filter argument");
            return new PyList(items.Select(item => Path(item, attribute) is var picked && picked is Undefined && arguments.Has(int.MaxValue, "default")
                ? arguments.Get(int.MaxValue, "default")
                : picked));
        }

        var name = Values.ToText(arguments.Positional[0]);
        return new PyList(items.Select(item => Filters.Apply(context, name, item, arguments.After(1))));
    }

    private static PyList Select(RenderContext context, object? value, Arguments arguments, Func<object?, object?> pick, int skip, bool keep)
    {
        var test = arguments.Positional.Count > skip ? Values.ToText(arguments.Positional[skip]) : null;
        return new PyList(Values.Iterate(value).Where(item =>
        {
            context.Charge(Expression.Cost);
            var picked = pick(item);
            return keep == (test is null ? Values.IsTrue(picked) : Tests.Apply(test, picked, arguments.After(skip + 1)));
        }));
    }

    private static PyList GroupBy(RenderContext context, object? value, Arguments arguments)
    {
        var attribute = arguments.Get(0, "attribute");
        var order = Order(Values.IsTrue(arguments.Get(2, "case_sensitive")), reverse: false);
        object? Key(object? item) => Path(item, attribute) is var picked && picked is Undefined && arguments.Has(1, "default") ? arguments.Get(1, "default") : picked;
        var groups = new List<(object? Key, List<object?> Items)>();
        foreach (var item in Sorted(Values.Iterate(value), Key, order))
        {
            if (groups.Count == 0 || order.Compare(groups[^1].Key, Key(item)) != 0)
            {
                groups.Add((Key(item), []));
            }

            groups[^1].Items.Add(item);
        }

        return new PyList(groups.Select(object? (group) => new PyTuple(group.Key, new PyList(group.Items))));
    }

    private static PyList Batch(RenderContext context, object? value, Arguments arguments)
    {
        var size = (int)Math.Clamp(Values.ToLong(arguments.Get(0, "linecount")), 1, 1_000_000);
        var batches = Values.Iterate(value).Chunk(size).Select(chunk => chunk.ToList()).ToList();
        if (arguments.Get(1, "fill_with") is { } fill && batches.Count > 0)
        {
            context.Charge((long)size * Expression.Cost);
            batches[^1].AddRange(Enumerable.Repeat<object?>(fill, size - batches[^1].Count));
        }

        return new PyList(batches.Select(object? (batch) => new PyList(batch)));
    }

    private static PyList Slice(RenderContext context, object? value, Arguments arguments)
    {
        var items = Values.Iterate(value);
        var count = (int)Math.Clamp(Values.ToLong(arguments.Get(0, "slices")), 1, 1_000_000);
        context.Charge((long)count * Expression.Cost);
        var (size, extra) = (items.Count / count, items.Count % count);
        var slices = new List<object?>();
        for (var (i, at) = (0, 0); i < count; i++)
        {
            var length = size + (i < extra ? 1 : 0);
            var slice = items.Skip(at).Take(length).ToList();
            if (arguments.Get(1, "fill_with") is { } fill && i >= extra && extra > 0)
            {
                slice.Add(fill);
            }

            slices.Add(new PyList(slice));
            at += length;
        }

        return new PyList(slices);
    }
}
