using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace DistTune.Core.Text.Jinja;

/// <summary>Names of a block; inner ones hide outer ones and end with their block.</summary>
internal sealed class Scope(Scope? parent)
{
    private readonly Dictionary<string, object?> _names = new(StringComparer.Ordinal);

    internal void Set(string name, object? value) => _names[name] = value;

    internal bool TryGet(string name, out object? value)
    {
        for (var scope = this; scope is not null; scope = scope.Parent)
        {
            if (scope._names.TryGetValue(name, out value))
            {
                return true;
            }
        }

        value = null;
        return false;
    }

    private Scope? Parent => parent;
}

/// <summary>State of one rendering: scopes, output, and the bounds that a hostile template runs into.</summary>
internal sealed class RenderContext
{
    internal const int MaximumTextLength = 16 << 20;
    internal const int MaximumDepth = 200;

    // A node costs 16, a character 1: a second or two, a hundred megabytes at worst.
    private const long MaximumWork = 64L << 20;

    private readonly Stack<StringBuilder> _captures = new();
    private readonly StringBuilder _root = new();
    private readonly TimeProvider _time;
    private long _work;
    private int _depth;

    internal RenderContext(Scope globals, TimeProvider time)
    {
        Scope = new Scope(globals);
        _time = time;
    }

    // Comparing values is Python's business and knows no rendering; values that share their parts still make it as long as one likes.
    [ThreadStatic]
    private static RenderContext? _running;

    internal Scope Scope { get; private set; }

    /// <summary>Ranges of the output that a <c>{% generation %}</c> block wrote, in UTF-16 units.</summary>
    internal List<TextSpan> Generations { get; } = [];

    internal DateTimeOffset Now => _time.GetLocalNow();

    internal string Output => _root.ToString();

    internal int RootLength => _root.Length;

    internal bool AtRoot => _captures.Count == 0;

    internal static TemplateException TooLong() =>
        new("OverflowError", string.Create(CultureInfo.InvariantCulture, $"a text grew beyond {MaximumTextLength} characters. Check the template's loops and the conversation's size."));

    /// <summary>Counts work; a template that loops without end fails here.</summary>
    internal void Charge(long cost)
    {
        // Every node charges before it evaluates its parts, so that no nesting of nodes and macros gets past the end of the stack.
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            throw new TemplateException("RecursionError", "maximum recursion depth exceeded");
        }

        _work += cost;
        if (_work > MaximumWork)
        {
            throw new TemplateException("OverflowError", "the template takes too many steps for one conversation. Check its loops.");
        }
    }

    /// <summary>Counts work against the rendering that runs on this thread, if one does.</summary>
    internal static void ChargeRunning(long cost) => _running?.Charge(cost);

    /// <summary>Runs a rendering's body.</summary>
    internal void Run(Action body)
    {
        var outer = _running;
        _running = this;
        try
        {
            body();
        }
        finally
        {
            _running = outer;
        }
    }

    /// <summary>Counts the work of a text about to be made, and refuses one that is too long before it takes memory.</summary>
    internal void ChargeText(long length)
    {
        if (length > MaximumTextLength)
        {
            throw TooLong();
        }

        Charge(length);
    }

    internal void Write(string text)
    {
        var target = _captures.TryPeek(out var capture) ? capture : _root;
        Charge(text.Length);
        if (target.Length + (long)text.Length > MaximumTextLength)
        {
            throw TooLong();
        }

        target.Append(text);
    }

    /// <summary>What an action writes, kept from the output.</summary>
    internal string Capture(Action action)
    {
        _captures.Push(new StringBuilder());
        try
        {
            action();
            return _captures.Peek().ToString();
        }
        finally
        {
            _captures.Pop();
        }
    }

    /// <summary>Runs an action with names of its own.</summary>
    internal void InScope(Scope parent, Action<Scope> action)
    {
        var saved = Scope;
        if (++_depth > MaximumDepth)
        {
            _depth--;
            throw new TemplateException("RecursionError", "maximum recursion depth exceeded");
        }

        Scope = new Scope(parent);
        try
        {
            action(Scope);
        }
        finally
        {
            Scope = saved;
            _depth--;
        }
    }
}
