namespace DistTune.Core.Text.Jinja;

/// <summary>What a statement asks its surroundings to do next.</summary>
internal enum Flow
{
    Next,
    Break,
    Continue,
}

/// <summary>A statement of a template; its line is named in errors.</summary>
internal abstract class Statement
{
    internal int Line { get; init; }

    internal abstract Flow Execute(RenderContext context);

    /// <summary>Runs statements in order; an error gets the line of the innermost statement.</summary>
    internal static Flow ExecuteAll(List<Statement> body, RenderContext context)
    {
        foreach (var statement in body)
        {
            context.Charge(Expression.Cost);
            Flow flow;
            try
            {
                flow = statement.Execute(context);
            }
            catch (TemplateException error) when (error.Line == 0)
            {
                throw new TemplateException(error.ErrorType, error.Reason, statement.Line);
            }

            if (flow != Flow.Next)
            {
                return flow;
            }
        }

        return Flow.Next;
    }
}

internal sealed class Data(string text) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        context.Write(text);
        return Flow.Next;
    }
}

internal sealed class Print(Expression expression) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        context.Write(Values.Print(expression.Evaluate(context)));
        return Flow.Next;
    }
}

internal sealed class If(Expression test, List<Statement> then, List<Statement> otherwise) : Statement
{
    internal override Flow Execute(RenderContext context) => ExecuteAll(Values.IsTrue(test.Evaluate(context)) ? then : otherwise, context);
}

internal sealed class Jump(Flow flow) : Statement
{
    internal override Flow Execute(RenderContext context) => flow;
}

/// <summary>Gives values to names, to a tuple of names, or to an attribute of a namespace.</summary>
internal static class Assignment
{
    internal static void Assign(RenderContext context, Scope scope, Expression target, object? value)
    {
        switch (target)
        {
            case Name name:
                scope.Set(name.Text, value);
                break;
            case NamespaceTarget attribute:
                attribute.Set(scope, value);
                break;
            case Sequence sequence:
                var values = Values.Iterate(value);
                if (values.Count != sequence.Items.Count)
                {
                    throw new TemplateException("ValueError", values.Count < sequence.Items.Count
                        ? $"not enough values to unpack (expected {sequence.Items.Count}, got {values.Count})"
                        : $"too many values to unpack (expected {sequence.Items.Count})");
                }

                for (var i = 0; i < values.Count; i++)
                {
                    Assign(context, scope, sequence.Items[i], values[i]);
                }

                break;
            default:
                throw new TemplateException("TemplateSyntaxError", "can't assign to this expression");
        }
    }
}

internal sealed class NamespaceTarget(string name, string attribute) : Expression
{
    internal override object? Evaluate(RenderContext context) => throw new TemplateException("TemplateSyntaxError", "a namespace attribute is written here, not read");

    internal void Set(Scope scope, object? value)
    {
        if (!scope.TryGet(name, out var target) || target is not Namespace names)
        {
            throw new TemplateException("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
        }

        names.Items[Lookup.CheckedNamespaceKey(attribute)] = value;
    }
}

internal sealed class Set(Expression target, Expression value) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        Assignment.Assign(context, context.Scope, target, value.Evaluate(context));
        return Flow.Next;
    }
}

internal sealed class SetBlock(Expression target, FilterExpression? filter, List<Statement> body) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        var outer = context.Scope;
        object? text = context.Capture(() => context.InScope(outer, _ => ExecuteAll(body, context)));
        Assignment.Assign(context, outer, target, filter is null ? text : filter.ApplyChain(context, text));
        return Flow.Next;
    }
}

internal sealed class FilterBlock(FilterExpression filter, List<Statement> body) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        var text = context.Capture(() => context.InScope(context.Scope, _ => ExecuteAll(body, context)));
        context.Write(Values.Print(filter.ApplyChain(context, text)));
        return Flow.Next;
    }
}

internal sealed class With(List<(Expression Target, Expression Value)> names, List<Statement> body) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        var flow = Flow.Next;
        var values = names.ConvertAll(entry => entry.Value.Evaluate(context));
        context.InScope(context.Scope, scope =>
        {
            for (var i = 0; i < names.Count; i++)
            {
                Assignment.Assign(context, scope, names[i].Target, values[i]);
            }

            flow = ExecuteAll(body, context);
        });
        return flow;
    }
}

/// <summary>Marks what the assistant wrote: the ranges tell which tokens are trained.</summary>
internal sealed class Generation(List<Statement> body) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        var start = context.RootLength;
        var flow = Flow.Next;
        context.InScope(context.Scope, _ => flow = ExecuteAll(body, context));
        if (context.AtRoot)
        {
            context.Generations.Add(new TextSpan(start, context.RootLength));
        }

        return flow;
    }
}

internal sealed record MacroParameter(string Name, Expression? Default);

internal sealed class Macro(string name, List<MacroParameter> parameters, List<Statement> body, bool usesVariadic) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        context.Scope.Set(name, Bind(context.Scope));
        return Flow.Next;
    }

    internal Function Bind(Scope definition) => new(name, (context, arguments) =>
    {
        if (arguments.Positional.Count > parameters.Count && !usesVariadic)
        {
            throw new TemplateException("TypeError", $"macro '{name}' takes not more than {parameters.Count} argument(s)");
        }

        return context.Capture(() => context.InScope(definition, scope =>
        {
            Fill(context, scope, arguments);
            ExecuteAll(body, context);
        }));
    });

    private void Fill(RenderContext context, Scope scope, Arguments arguments)
    {
        var named = arguments.Named.ToList();
        for (var i = 0; i < parameters.Count; i++)
        {
            var parameter = parameters[i];
            var at = named.FindIndex(entry => entry.Key == parameter.Name);
            if (i < arguments.Positional.Count)
            {
                scope.Set(parameter.Name, arguments.Positional[i]);
            }
            else if (at >= 0)
            {
                scope.Set(parameter.Name, named[at].Value);
                named.RemoveAt(at);
            }
            else
            {
                scope.Set(parameter.Name, parameter.Default is null ? new Undefined($"parameter '{parameter.Name}' was not provided") : parameter.Default.Evaluate(context));
            }
        }

        var caller = named.FindIndex(entry => entry.Key == "caller");
        scope.Set("caller", caller >= 0 ? named[caller].Value : new Undefined("No caller defined"));
        named.RemoveAll(entry => entry.Key == "caller");
        if (named.Count > 0 && !usesVariadic)
        {
            throw new TemplateException("TypeError", $"macro '{name}' takes no keyword argument '{named[0].Key}'");
        }

        var rest = new PyDict();
        named.ForEach(entry => rest.Set(entry.Key, entry.Value));
        scope.Set("varargs", new PyTuple([.. arguments.Positional.Skip(parameters.Count)]));
        scope.Set("kwargs", rest);
    }
}

internal sealed class CallBlock(Call call, Macro body) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        context.Write(Values.Print(call.Evaluate(context, body.Bind(context.Scope))));
        return Flow.Next;
    }
}
