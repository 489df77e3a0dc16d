namespace DistTune.Core.Text.Jinja;

/// <summary>The methods of a Python <c>str</c>. Positions are code points.</summary>
internal static class StringMethods
{
    private delegate object? Body(RenderContext context, string text, Arguments arguments);

    private static readonly Dictionary<string, Body> Known = new(StringComparer.Ordinal)
    {
        ["upper"] = (_, text, _) => PythonText.Upper(text),
        ["lower"] = (_, text, _) => PythonText.Lower(text),
        ["casefold"] = (_, text, _) => PythonText.Lower(text).Replace("ß", "ss", StringComparison.Ordinal).Replace('ς', 'σ'),
        ["title"] = (_, text, _) => PythonText.Title(text),
        ["capitalize"] = (_, text, _) => PythonText.Capitalize(text),
        ["swapcase"] = (_, text, _) => string.Concat(PythonText.Characters(text).Select(c => PythonText.Upper(c) is var upper && upper != c ? upper : PythonText.Lower(c))),
        ["strip"] = (_, text, arguments) => Strip(text, arguments.Get(0, "chars"), true, true),
        ["lstrip"] = (_, text, arguments) => Strip(text, arguments.Get(0, "chars"), true, false),
        ["rstrip"] = (_, text, arguments) => Strip(text, arguments.Get(0, "chars"), false, true),
        ["split"] = (_, text, arguments) => Split(text, arguments),
        ["rsplit"] = (_, text, arguments) => SplitFromEnd(text, arguments),
        ["splitlines"] = (_, text, arguments) => new PyList(Lines(text, Values.IsTrue(arguments.Get(0, "keepends"))).ToList<object?>()),
        ["partition"] = (_, text, arguments) => Partition(text, Values.ToText(arguments.Get(0, "sep")), text.IndexOf(Values.ToText(arguments.Get(0, "sep")), StringComparison.Ordinal), false),
        ["rpartition"] = (_, text, arguments) => Partition(text, Values.ToText(arguments.Get(0, "sep")), text.LastIndexOf(Values.ToText(arguments.Get(0, "sep")), StringComparison.Ordinal), true),
        ["startswith"] = (_, text, arguments) => AnyOf(arguments.Get(0, "prefix"), prefix => text.StartsWith(prefix, StringComparison.Ordinal)),
        ["endswith"] = (_, text, arguments) => AnyOf(arguments.Get(0, "suffix"), suffix => text.EndsWith(suffix, StringComparison.Ordinal)),
        ["find"] = (_, text, arguments) => Position(text, text.IndexOf(Values.ToText(arguments.Get(0, "sub")), StringComparison.Ordinal)),
        ["rfind"] = (_, text, arguments) => Position(text, text.LastIndexOf(Values.ToText(arguments.Get(0, "sub")), StringComparison.Ordinal)),
        ["index"] = (_, text, arguments) => Found(Position(text, text.IndexOf(Values.ToText(arguments.Get(0, "sub")), StringComparison.Ordinal))),
        ["rindex"] = (_, text, arguments) => Found(Position(text, text.LastIndexOf(Values.ToText(arguments.Get(0, "sub")), StringComparison.Ordinal))),
        ["count"] = (_, text, arguments) => Count(text, Values.ToText(arguments.Get(0, "sub"))),
        ["replace"] = (context, text, arguments) => Replace(
            context, text, Values.ToText(arguments.Get(0, "old")), Values.ToText(arguments.Get(1, "new")), Values.ToLong(arguments.Get(2, "count", -1L))),
        ["join"] = (context, text, arguments) => Join(context, text, Values.Iterate(arguments.Get(0, "iterable")).Select(Values.ToText).ToList()),
        ["format"] = PythonFormat.Format,
        ["isdigit"] = (_, text, _) => All(text, char.IsDigit),
        ["isnumeric"] = (_, text, _) => All(text, char.IsNumber),
        ["isdecimal"] = (_, text, _) => All(text, char.IsDigit),
        ["isalpha"] = (_, text, _) => All(text, char.IsLetter),
        ["isalnum"] = (_, text, _) => All(text, char.IsLetterOrDigit),
        ["isspace"] = (_, text, _) => All(text, PythonText.IsSpace),
        ["isupper"] = (_, text, _) => text == PythonText.Upper(text) && text != PythonText.Lower(text),
        ["islower"] = (_, text, _) => text == PythonText.Lower(text) && text != PythonText.Upper(text),
        ["istitle"] = (_, text, _) => text.Any(char.IsLetter) && text == PythonText.Title(text),
        ["zfill"] = (context, text, arguments) => ZeroFill(context, text, Values.ToLong(arguments.Get(0, "width"))),
        ["center"] = (context, text, arguments) => Pad(context, text, arguments, '^'),
        ["ljust"] = (context, text, arguments) => Pad(context, text, arguments, '<'),
        ["rjust"] = (context, text, arguments) => Pad(context, text, arguments, '>'),
        ["removeprefix"] = (_, text, arguments) => Values.ToText(arguments.Get(0, "prefix")) is var prefix && text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text,
        ["removesuffix"] = (_, text, arguments) => Values.ToText(arguments.Get(0, "suffix")) is { Length: > 0 } suffix && text.EndsWith(suffix, StringComparison.Ordinal) ? text[..^suffix.Length] : text,
    };

    internal static Function? Find(string text, string name) => Known.TryGetValue(name, out var body)
        ? new Function(name, (context, arguments) =>
        {
            context.Charge(text.Length);
            return body(context, text, arguments);
        })
        : null;

    internal static string Strip(string text, object? characters, bool start, bool end)
    {
        if (characters is null)
        {
            text = start ? PythonText.TrimStart(text) : text;
            return end ? PythonText.TrimEnd(text) : text;
        }

        var set = PythonText.Characters(Values.ToText(characters)).ToHashSet(StringComparer.Ordinal);
        var units = PythonText.Characters(text);
        var (first, last) = (0, units.Count);
        while (start && first < last && set.Contains(units[first]))
        {
            first++;
        }

        while (end && last > first && set.Contains(units[last - 1]))
        {
            last--;
        }

        return string.Concat(units.Skip(first).Take(last - first));
    }

    internal static string Replace(RenderContext context, string text, string old, string replacement, long count)
    {
        if (old.Length == 0)
        {
            var between = PythonText.Characters(text);
            context.ChargeText(text.Length + ((between.Count + 1L) * replacement.Length));
            var places = count < 0 ? long.MaxValue : count;
            return string.Concat(between.Select((character, index) => (index < places ? replacement : string.Empty) + character)) + (between.Count < places ? replacement : string.Empty);
        }

        var found = Count(text, old);
        found = count < 0 ? found : Math.Min(found, count);
        context.ChargeText(text.Length + (found * Math.Max(0L, replacement.Length - old.Length)));
        var builder = new System.Text.StringBuilder();
        var at = 0;
        for (; found > 0; found--)
        {
            var next = text.IndexOf(old, at, StringComparison.Ordinal);
            builder.Append(text, at, next - at).Append(replacement);
            at = next + old.Length;
        }

        return builder.Append(text, at, text.Length - at).ToString();
    }

    internal static string Join(RenderContext context, string separator, List<string> parts)
    {
        context.ChargeText(parts.Sum(part => (long)part.Length) + ((long)separator.Length * Math.Max(0, parts.Count - 1)));
        return string.Join(separator, parts);
    }

    internal static string Pad(RenderContext context, string text, long width, char fill, char align)
    {
        context.ChargeText(width);
        var missing = (int)Math.Max(0, width - PythonText.Length(text));
        var left = align switch { '<' => 0, '>' => missing, _ => missing / 2 };
        return new string(fill, left) + text + new string(fill, missing - left);
    }

    internal static IEnumerable<string> Lines(string text, bool keepEnds)
    {
        for (var at = 0; at < text.Length;)
        {
            var end = text.AsSpan(at).IndexOfAny("\n\r\v\f\u001C\u001D\u001E\u0085\u2028\u2029");
            end = end < 0 ? text.Length : at + end;
            var next = end >= text.Length ? end : text[end] == '\r' && end + 1 < text.Length && text[end + 1] == '\n' ? end + 2 : end + 1;
            yield return text[at..(keepEnds ? next : end)];
            at = next;
        }
    }

    private static string Pad(RenderContext context, string text, Arguments arguments, char align) =>
        Pad(context, text, Values.ToLong(arguments.Get(0, "width")), Values.ToText(arguments.Get(1, "fillchar", " "))[0], align);

    private static string ZeroFill(RenderContext context, string text, long width)
    {
        var sign = text.StartsWith('-') || text.StartsWith('+') ? text[..1] : string.Empty;
        return sign + Pad(context, text[sign.Length..], width - sign.Length, '0', '>');
    }

    private static PyList Split(string text, Arguments arguments)
    {
        var maximum = Values.ToLong(arguments.Get(1, "maxsplit", -1L));
        if (arguments.Get(0, "sep") is not { } separator)
        {
            return new PyList(PythonText.SplitSpaces(text, maximum).ToList<object?>());
        }

        return new PyList(text.Split(NonEmpty(separator), maximum < 0 ? int.MaxValue : (int)Math.Min(int.MaxValue, maximum + 1), StringSplitOptions.None).ToList<object?>());
    }

    private static PyList SplitFromEnd(string text, Arguments arguments)
    {
        var maximum = Values.ToLong(arguments.Get(1, "maxsplit", -1L));
        var parts = (arguments.Get(0, "sep") is { } separator ? text.Split(NonEmpty(separator)) : [.. PythonText.SplitSpaces(text)]).ToList();
        if (maximum >= 0 && parts.Count > maximum + 1)
        {
            var joint = arguments.Get(0, "sep") as string;
            var head = parts.Count - (int)maximum;
            var tail = parts.GetRange(head, (int)maximum);
            var rest = joint is not null
                ? string.Join(joint, parts.Take(head))
                : PythonText.TrimEnd(tail.Aggregate(PythonText.TrimEnd(text), (left, _) => PythonText.TrimEnd(left[..^tail[^1].Length])));
            parts = [rest, .. tail];
        }

        return new PyList(parts.ToList<object?>());
    }

    private static string NonEmpty(object separator) => Values.ToText(separator) is { Length: > 0 } text ? text : throw new TemplateException("ValueError", "empty separator");

    private static PyTuple Partition(string text, string separator, int at, bool fromEnd) =>
        at < 0 ? (fromEnd ? new PyTuple(string.Empty, string.Empty, text) : new PyTuple(text, string.Empty, string.Empty))
        : new PyTuple(text[..at], separator, text[(at + separator.Length)..]);

    private static bool AnyOf(object? value, Func<string, bool> test) => value is PyTuple tuple ? tuple.Items.Any(item => test(Values.ToText(item))) : test(Values.ToText(value));

    private static long Position(string text, int unit) => unit < 0 ? -1 : PythonText.Length(text[..unit]);

    private static long Found(long position) => position >= 0 ? position : throw new TemplateException("ValueError", "substring not found");

    private static long Count(string text, string part)
    {
        if (part.Length == 0)
        {
            return PythonText.Length(text) + 1L;
        }

        var count = 0L;
        for (var at = text.IndexOf(part, StringComparison.Ordinal); at >= 0; at = text.IndexOf(part, at + part.Length, StringComparison.Ordinal))
        {
            count++;
        }

        return count;
    }

    private static bool All(string text, Func<char, bool> test) => text.Length > 0 && text.All(test);
}
