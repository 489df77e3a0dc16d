using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace DistTune.StandIns.Tests;

/// <summary>
/// Writes an assembly's public surface as lines of <c>tests/api/*.txt</c>: a letter for the kind (T type, F field,
/// P property, E event, C constructor, M method), modifiers, and the full signature. Nullability and attributes are left out.
/// </summary>
internal static class ApiListing
{
    private const BindingFlags Own = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    public static IEnumerable<string> Of(Assembly assembly) => assembly.GetTypes().Where(IsOpen).SelectMany(Of);

    public static IEnumerable<string> Of(Type type)
    {
        var owner = TypeNames.Of(type);
        if (type.IsSubclassOf(typeof(MulticastDelegate)))
            return [DelegateLine(type, owner)];
        return new[] { TypeLine(type, owner) }
            .Concat(type.GetFields(Own).Where(f => !f.IsSpecialName && (f.IsPublic || f.IsFamily || f.IsFamilyOrAssembly)).Select(f => FieldLine(f, owner)))
            .Concat(type.GetProperties(Own).Where(p => IsOpen(p.GetMethod) || IsOpen(p.SetMethod)).Select(p => PropertyLine(p, owner)))
            .Concat(type.GetEvents(Own).Where(e => IsOpen(e.AddMethod)).Select(e => $"E {Static(e.AddMethod!)}{owner}.{e.Name} : {TypeNames.Of(e.EventHandlerType!)}"))
            .Concat(type.GetConstructors(Own).Where(c => !c.IsStatic && IsOpen(c)).Select(c => $"C {owner}({ParameterList(c)})"))
            .Concat(type.GetMethods(Own).Where(m => IsOpen(m) && (!m.IsSpecialName || IsOperator(m))).Select(m => MethodLine(m, owner)));
    }

    private static bool IsOpen(Type type) =>
        type.DeclaringType is not { } outer ? type.IsPublic : IsOpen(outer) && (type.IsNestedPublic || type.IsNestedFamily || type.IsNestedFamORAssem);

    private static bool IsOpen(MethodBase? method) => method is not null && (method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly);

    private static bool IsOperator(MethodInfo method) => method.Name.StartsWith("op_", StringComparison.Ordinal);

    private static string Static(MethodBase method) => method.IsStatic ? "static " : "";

    private static string DelegateLine(Type type, string owner)
    {
        var invoke = type.GetMethod("Invoke")!;
        return $"T delegate {owner}({ParameterList(invoke)}) : {TypeNames.Of(invoke.ReturnType)}";
    }

    private static string TypeLine(Type type, string owner)
    {
        if (type.IsEnum)
            return $"T enum {owner}";
        var (modifier, kind) = type switch
        {
            { IsInterface: true } => ("", "interface"),
            { IsValueType: true } => ("", "struct"),
            { IsAbstract: true, IsSealed: true } => ("static ", "class"),
            { IsAbstract: true } => ("abstract ", "class"),
            { IsSealed: true } => ("sealed ", "class"),
            _ => ("", "class"),
        };
        var parents = type.GetInterfaces().Where(i => i.IsVisible).Select(TypeNames.Of).Order(StringComparer.Ordinal).ToList();
        if (kind == "class" && type.BaseType is { } parent && parent != typeof(object))
            parents.Insert(0, TypeNames.Of(parent));
        return $"T {modifier}{kind} {owner}" + (parents.Count == 0 ? "" : " : " + string.Join(", ", parents));
    }

    private static string FieldLine(FieldInfo field, string owner)
    {
        var name = $"{owner}.{field.Name} : {TypeNames.Of(field.FieldType)}";
        return field switch
        {
            { IsLiteral: true } => $"F const {name} = {Literal(field.GetRawConstantValue())}",
            { IsStatic: true } => $"F static {name}",
            _ => $"F {name}",
        };
    }

    private static string PropertyLine(PropertyInfo property, string owner)
    {
        var getter = IsOpen(property.GetMethod) ? property.GetMethod : null;
        var setter = IsOpen(property.SetMethod) ? property.SetMethod : null;
        var isInit = setter?.ReturnParameter.GetRequiredCustomModifiers().Contains(typeof(IsExternalInit)) == true;
        var index = property.GetIndexParameters() is { Length: > 0 } parameters ? $"[{string.Join(", ", parameters.Select(OneParameter))}]" : "";
        var accessors = (getter is null ? "" : " get;") + (setter is null ? "" : isInit ? " init;" : " set;");
        return $"P {Static((getter ?? setter)!)}{owner}.{property.Name}{index} : {TypeNames.Of(property.PropertyType)} {{{accessors} }}";
    }

    private static string MethodLine(MethodInfo method, string owner)
    {
        var isNew = method.Attributes.HasFlag(MethodAttributes.NewSlot);
        var modifier = method switch
        {
            { IsStatic: true } => "static ",
            { DeclaringType.IsInterface: true } => "",
            { IsAbstract: true } => "abstract ",
            { IsVirtual: true, IsFinal: false } => isNew ? "virtual " : "override ",
            _ => "",
        };
        var generic = method.IsGenericMethodDefinition ? $"<{string.Join(", ", method.GetGenericArguments().Select(a => a.Name))}>" : "";
        var self = method.IsDefined(typeof(ExtensionAttribute), false) ? "this " : "";
        return $"M {modifier}{owner}.{method.Name}{generic}({self}{ParameterList(method)}) : {TypeNames.Of(method.ReturnType)}";
    }

    private static string ParameterList(MethodBase method) => string.Join(", ", method.GetParameters().Select(OneParameter));

    private static string OneParameter(ParameterInfo parameter)
    {
        var many = parameter.IsDefined(typeof(ParamArrayAttribute), false) ? "params " : "";
        var way = !parameter.ParameterType.IsByRef ? "" : parameter.IsOut ? "out " : parameter.IsIn ? "in " : "ref ";
        var fallback = !parameter.IsOptional ? "" : " = " + (parameter.HasDefaultValue ? Literal(parameter.RawDefaultValue) : "default");
        return $"{many}{way}{TypeNames.Of(parameter.ParameterType)} {parameter.Name}{fallback}";
    }

    private static string Literal(object? value) => value switch
    {
        bool truth => truth ? "true" : "false",
        char letter => $"'{((int)letter).ToString(CultureInfo.InvariantCulture)}'",
        string text => '"' + text.Replace("\\", @"\\", StringComparison.Ordinal).Replace("\n", @"\n", StringComparison.Ordinal)
            .Replace("\r", @"\r", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal) + '"',
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => "default",
    };
}
