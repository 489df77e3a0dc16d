namespace DistTune.Core.Text.Jinja;

/// <summary>What may stand after <c>is</c>.</summary>
internal static class Tests
{
    private static readonly Dictionary<string, Func<object?, Arguments, bool>> Known = new(StringComparer.Ordinal)
    {
        ["defined"] = (value, _) => value is not Undefined,
        ["undefined"] = (value, _) => value is Undefined,
        ["none"] = (value, _) => value is null,
        ["string"] = (value, _) => value is string,
        ["mapping"] = (value, _) => value is PyDict,
        ["iterable"] = (value, _) => value is string or PyList or PyTuple or PyDict or Undefined,
        ["sequence"] = (value, _) => value is string or PyList or PyTuple or PyDict or Undefined,
        ["number"] = (value, _) => Values.IsNumber(value) || value is System.Numerics.BigInteger,
        ["integer"] = (value, _) => value is long or System.Numerics.BigInteger,
        ["float"] = (value, _) => value is double,
        ["boolean"] = (value, _) => value is bool,
        ["true"] = (value, _) => value is true,
        ["false"] = (value, _) => value is false,
        ["callable"] = (value, _) => value is Function or LoopState,
        ["odd"] = (value, _) => Values.ToLong(value) % 2 != 0,
        ["even"] = (value, _) => Values.ToLong(value) % 2 == 0,
        ["divisibleby"] = (value, arguments) => Values.ToLong(PythonArithmetic.Remainder(value, arguments.Get(0, "num"))) == 0,
        ["upper"] = (value, _) => Values.Print(value) is var text && text == PythonText.Upper(text) && text != PythonText.Lower(text),
        ["lower"] = (value, _) => Values.Print(value) is var text && text == PythonText.Lower(text) && text != PythonText.Upper(text),
        ["sameas"] = (value, arguments) => IsSame(value, arguments.Get(0, "other")),
        ["escaped"] = (_, _) => false,
        ["in"] = (value, arguments) => Values.Contains(arguments.Get(0, "seq"), value),
        ["filter"] = (value, _) => Filters.Exists(Values.Print(value)),
        ["test"] = (value, _) => Exists(Values.Print(value)),
        ["=="] = Compare("=="),
        ["eq"] = Compare("=="),
        ["equalto"] = Compare("=="),
        ["!="] = Compare("!="),
        ["ne"] = Compare("!="),
        [">"] = Compare(">"),
        ["gt"] = Compare(">"),
        ["greaterthan"] = Compare(">"),
        [">="] = Compare(">="),
        ["ge"] = Compare(">="),
        ["<"] = Compare("<"),
        ["lt"] = Compare("<"),
        ["lessthan"] = Compare("<"),
        ["<="] = Compare("<="),
        ["le"] = Compare("<="),
    };

    internal static bool Exists(string name) => Known.ContainsKey(name);

    internal static bool Apply(string name, object? value, Arguments arguments) => Known.TryGetValue(name, out var test)
        ? test(value, arguments)
        : throw Unknown(name);

    internal static TemplateException Unknown(string name) => new("TemplateAssertionError", $"No test named '{name}'.");

    private static Func<object?, Arguments, bool> Compare(string symbol) => (value, arguments) => Comparison.Holds(symbol, value, arguments.Get(0, "b"));

    private static bool IsSame(object? left, object? right) => (left, right) switch
    {
        (null, null) => true,
        (bool a, bool b) => a == b,
        (long a, long b) => a == b,
        (string a, string b) => a == b,
        _ => ReferenceEquals(left, right),
    };
}
