namespace DistTune.StandIns.Tests;

/// <summary>Full names of types as the API lists spell them: keywords, <c>T?</c>, dots between nested types.</summary>
internal static class TypeNames
{
    private static readonly Dictionary<Type, string> Keywords = new()
    {
        [typeof(void)] = "void",
        [typeof(object)] = "object",
        [typeof(string)] = "string",
        [typeof(bool)] = "bool",
        [typeof(byte)] = "byte",
        [typeof(sbyte)] = "sbyte",
        [typeof(short)] = "short",
        [typeof(int)] = "int",
        [typeof(long)] = "long",
        [typeof(uint)] = "uint",
        [typeof(ulong)] = "ulong",
        [typeof(float)] = "float",
        [typeof(double)] = "double",
    };

    public static string Of(Type type)
    {
        if (type.HasElementType)
        {
            var element = Of(type.GetElementType()!);
            return type.IsByRef ? element : type.IsPointer ? element + "*" : $"{element}[{new string(',', type.GetArrayRank() - 1)}]";
        }
        if (type.IsGenericParameter)
            return type.Name;
        if (Keywords.TryGetValue(type, out var keyword))
            return keyword;
        if (Nullable.GetUnderlyingType(type) is { } underlying)
            return Of(underlying) + "?";
        var arguments = new Queue<string>(type.GetGenericArguments().Select(Of));
        var path = Nesting(type).Select(part => Part(part, arguments));
        return string.Join('.', type.Namespace is { Length: > 0 } space ? path.Prepend(space) : path);
    }

    private static IEnumerable<Type> Nesting(Type type) => type.DeclaringType is { } outer ? Nesting(outer).Append(type) : [type];

    // A nested type's arguments begin with those of the types around it.
    private static string Part(Type type, Queue<string> arguments)
    {
        var tick = type.Name.IndexOf('`', StringComparison.Ordinal);
        if (tick < 0)
            return type.Name;
        var count = int.Parse(type.Name.AsSpan(tick + 1), System.Globalization.CultureInfo.InvariantCulture);
        var own = Enumerable.Range(0, count).Select(_ => arguments.Dequeue()).ToArray();
        return $"{type.Name[..tick]}<{string.Join(", ", own)}>";
    }
}
