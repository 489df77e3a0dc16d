namespace DistTune.Core.Text.Jinja;

/// <summary>A node of an expression.</summary>
internal abstract class Expression
{
    internal const int Cost = 16;

    internal abstract object? Evaluate(RenderContext context);
}

internal sealed class Constant(object? value) : Expression
{
    internal object? Value => value;

    internal override object? Evaluate(RenderContext context) => value;
}

internal sealed class Name(string name) : Expression
{
    internal string Text => name;

    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        return context.Scope.TryGet(name, out var value) ? value : new Undefined($"'{name}' is undefined");
    }
}

internal enum SequenceKind
{
    List,
    Tuple,
}

internal sealed class Sequence(SequenceKind kind, List<Expression> items) : Expression
{
    internal List<Expression> Items => items;

    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        var values = items.Select(item => item.Evaluate(context));
        return kind == SequenceKind.List ? new PyList(values) : new PyTuple([.. values]);
    }
}

internal sealed class Dictionary(List<(Expression Key, Expression Value)> entries) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        var dictionary = new PyDict();
        foreach (var (key, value) in entries)
        {
            dictionary.Set(key.Evaluate(context), value.Evaluate(context));
        }

        return dictionary;
    }
}

internal sealed class Conditional(Expression test, Expression then, Expression? otherwise) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        return Values.IsTrue(test.Evaluate(context)) ? then.Evaluate(context)
            : otherwise is not null ? otherwise.Evaluate(context)
            : new Undefined("the inline if-expression evaluated to false and no else section was defined.");
    }
}

internal sealed class Logical(bool isAnd, Expression left, Expression right) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        var value = left.Evaluate(context);
        return Values.IsTrue(value) == isAnd ? right.Evaluate(context) : value;
    }
}

internal sealed class Not(Expression operand) : Expression
{
    internal override object? Evaluate(RenderContext context) => !Values.IsTrue(operand.Evaluate(context));
}

internal sealed class Comparison(Expression first, List<(string Symbol, Expression Operand)> rest) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        var left = first.Evaluate(context);
        foreach (var (symbol, operand) in rest)
        {
            var right = operand.Evaluate(context);
            if (!Holds(symbol, left, right))
            {
                return false;
            }

            left = right;
        }

        return true;
    }

    internal static bool Holds(string symbol, object? left, object? right) => symbol switch
    {
        "==" => Values.AreEqual(left, right),
        "!=" => !Values.AreEqual(left, right),
        "in" => Values.Contains(right, left),
        "notin" => !Values.Contains(right, left),
        "<" => Values.Compare(left, right, symbol) < 0,
        "<=" => Values.Compare(left, right, symbol) <= 0,
        ">" => Values.Compare(left, right, symbol) > 0,
        _ => Values.Compare(left, right, symbol) >= 0,
    };
}

internal sealed class Concatenation(List<Expression> parts) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        var texts = parts.Select(part => Values.Print(part.Evaluate(context))).ToList();
        context.ChargeText(texts.Sum(text => (long)text.Length));
        return string.Concat(texts);
    }
}

internal sealed class Arithmetic(string symbol, Expression left, Expression right) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        return PythonArithmetic.Apply(context, symbol, left.Evaluate(context), right.Evaluate(context));
    }
}

internal sealed class Sign(bool negative, Expression operand) : Expression
{
    internal override object? Evaluate(RenderContext context) => operand.Evaluate(context) switch
    {
        double number => (object)(negative ? -number : number),
        Undefined undefined => throw undefined.Fault(),
        long number => negative ? PythonArithmetic.Negate(number) : number,
        bool flag => (flag ? 1L : 0L) * (negative ? -1 : 1),
        var value => throw new TemplateException("TypeError", $"bad operand type for unary {(negative ? '-' : '+')}: '{Values.TypeName(value)}'"),
    };
}

internal sealed class Attribute(Expression target, string name) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        return Lookup.Attribute(target.Evaluate(context), name);
    }
}

internal sealed class Item(Expression target, Expression key) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        return Lookup.Item(target.Evaluate(context), key.Evaluate(context));
    }
}

internal sealed class Slice(Expression target, Expression? start, Expression? stop, Expression? step) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        return Lookup.Slice(context, target.Evaluate(context), Bound(start, context), Bound(stop, context), Bound(step, context));
    }

    private static long? Bound(Expression? expression, RenderContext context) => expression?.Evaluate(context) is { } value ? Values.ToLong(value) : null;
}

/// <summary>Arguments as written: <c>*</c> and <c>**</c> included.</summary>
internal sealed record CallArguments(List<Expression> Positional, List<(string Name, Expression Value)> Named, Expression? Spread, Expression? NamedSpread)
{
    internal Arguments Evaluate(RenderContext context)
    {
        var positional = Positional.ConvertAll(argument => argument.Evaluate(context));
        var named = Named.ConvertAll(argument => KeyValuePair.Create(argument.Name, argument.Value.Evaluate(context)));
        if (Spread is not null)
        {
            positional.AddRange(Values.Iterate(Spread.Evaluate(context)));
        }

        if (NamedSpread?.Evaluate(context) is PyDict dictionary)
        {
            named.AddRange(dictionary.Items.Select(entry => KeyValuePair.Create(Values.Print(entry.Key), entry.Value)));
        }

        return new Arguments(positional, named);
    }
}

internal sealed class Call(Expression target, CallArguments arguments) : Expression
{
    internal override object? Evaluate(RenderContext context) => Evaluate(context, null);

    /// <summary>Calls with the body of a <c>{% call %}</c> block as <c>caller</c>.</summary>
    internal object? Evaluate(RenderContext context, Function? caller)
    {
        context.Charge(Cost);
        var callee = target.Evaluate(context);
        var given = arguments.Evaluate(context);
        if (caller is not null)
        {
            given.Named.Add(KeyValuePair.Create<string, object?>("caller", caller));
        }

        return callee switch
        {
            Function function => function.Invoke(context, given),
            LoopState loop => loop.Recurse(context, given),
            Undefined undefined => throw undefined.Fault(),
            _ => throw new TemplateException("TypeError", $"'{Values.TypeName(callee)}' object is not callable"),
        };
    }
}

internal sealed class FilterExpression(Expression? target, string name, CallArguments arguments) : Expression
{
    internal override object? Evaluate(RenderContext context) => Apply(context, target!.Evaluate(context));

    internal object? Apply(RenderContext context, object? value)
    {
        context.Charge(Cost);
        return Filters.Apply(context, name, value, arguments.Evaluate(context));
    }

    /// <summary>Applies a chain that was written without its first value: <c>{% filter a|b %}</c>.</summary>
    internal object? ApplyChain(RenderContext context, object? value) => Apply(context, target is FilterExpression inner ? inner.ApplyChain(context, value) : value);
}

internal sealed class TestExpression(Expression target, string name, CallArguments arguments) : Expression
{
    internal override object? Evaluate(RenderContext context)
    {
        context.Charge(Cost);
        return Tests.Apply(name, target.Evaluate(context), arguments.Evaluate(context));
    }
}
