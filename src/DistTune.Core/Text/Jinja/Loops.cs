namespace DistTune.Core.Text.Jinja;

/// <summary><c>loop</c> within a <c>for</c>.</summary>
internal sealed class LoopState(IReadOnlyList<object?> items, int depth, Func<RenderContext, object?, int, string>? recurse)
{
    private object? _changed;
    private bool _hasChanged;

    internal int Index { get; set; }

    internal object? Attribute(string name) => name switch
    {
        "index" => Index + 1L,
        "index0" => (long)Index,
        "revindex" => (long)(items.Count - Index),
        "revindex0" => (long)(items.Count - Index - 1),
        "first" => Index == 0,
        "last" => Index == items.Count - 1,
        "length" => (long)items.Count,
        "depth" => depth + 1L,
        "depth0" => (long)depth,
        "previtem" => Index > 0 ? items[Index - 1] : new Undefined("there is no previous item"),
        "nextitem" => Index + 1 < items.Count ? items[Index + 1] : new Undefined("there is no next item"),
        "cycle" => new Function("cycle", (_, arguments) => arguments.Positional.Count > 0
            ? arguments.Positional[Index % arguments.Positional.Count]
            : throw new TemplateException("TypeError", "no items for cycling given")),
        "changed" => new Function("changed", (_, arguments) => Changed(new PyTuple([.. arguments.Positional]))),
        _ => new Undefined($"'LoopContext object' has no attribute '{name}'"),
    };

    internal object? Recurse(RenderContext context, Arguments arguments) => recurse is null
        ? throw new TemplateException("TypeError", "The loop must have the 'recursive' marker to be called recursively.")
        : recurse(context, arguments.Get(0, "iterable"), depth + 1);

    private bool Changed(object? value)
    {
        if (_hasChanged && Values.AreEqual(_changed, value))
        {
            return false;
        }

        (_changed, _hasChanged) = (value, true);
        return true;
    }
}

internal sealed class For(Expression target, Expression source, Expression? filter, List<Statement> body, List<Statement> otherwise, bool recursive) : Statement
{
    internal override Flow Execute(RenderContext context)
    {
        Run(context, context.Scope, source.Evaluate(context), 0);
        return Flow.Next;
    }

    private void Run(RenderContext context, Scope outer, object? iterable, int depth)
    {
        var items = Values.Iterate(iterable);
        if (filter is not null)
        {
            items = items.Where(item => Passes(context, outer, item)).ToList();
        }

        if (items.Count == 0)
        {
            context.InScope(outer, _ => ExecuteAll(otherwise, context));
            return;
        }

        var loop = new LoopState(items, depth, recursive ? (inner, nested, level) => inner.Capture(() => Run(inner, outer, nested, level)) : null);
        for (var i = 0; i < items.Count; i++)
        {
            loop.Index = i;
            var flow = Flow.Next;
            context.InScope(outer, scope =>
            {
                scope.Set("loop", loop);
                Assignment.Assign(context, scope, target, items[loop.Index]);
                flow = ExecuteAll(body, context);
            });
            if (flow == Flow.Break)
            {
                break;
            }
        }
    }

    private bool Passes(RenderContext context, Scope outer, object? item)
    {
        var passes = false;
        context.InScope(outer, scope =>
        {
            Assignment.Assign(context, scope, target, item);
            passes = Values.IsTrue(filter!.Evaluate(context));
        });
        return passes;
    }
}
