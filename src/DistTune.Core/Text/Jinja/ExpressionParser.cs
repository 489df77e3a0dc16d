namespace DistTune.Core.Text.Jinja;

/// <summary>Parses expressions, with Jinja's precedence.</summary>
internal partial class ExpressionParser(List<Token> tokens)
{
    private static readonly CallArguments NoArguments = new([], [], null, null);

    private const int MaximumLinks = 1000;

    private int _next;
    private int _depth;
    private int _links;

    /// <summary>Inside an <c>if</c>, an unknown filter or test is an error only when it is reached.</summary>
    protected int ConditionalDepth { get; set; }

    /// <summary>Whether a name was read since it was last reset; tells a macro that it takes any arguments.</summary>
    protected HashSet<string> NamesRead { get; } = new(StringComparer.Ordinal);

    protected Token Current => _next < tokens.Count ? tokens[_next] : tokens[^1];

    protected Token Ahead => _next + 1 < tokens.Count ? tokens[_next + 1] : tokens[^1];

    protected Token Take() => _next < tokens.Count ? tokens[_next++] : tokens[^1];

    protected bool TakeIf(string symbol)
    {
        if (!Current.IsOperator(symbol))
        {
            return false;
        }

        Take();
        return true;
    }

    protected bool TakeName(string name)
    {
        if (!Current.IsName(name))
        {
            return false;
        }

        Take();
        return true;
    }

    protected void Expect(string symbol)
    {
        if (!TakeIf(symbol))
        {
            throw Expected(symbol);
        }
    }

    protected string ExpectName() => Current.Kind == TokenKind.Name ? Take().Text : throw Expected("name");

    protected void ExpectEnd(TokenKind kind)
    {
        if (Current.Kind != kind)
        {
            throw Expected(new Token(kind, string.Empty, 0).Describe());
        }

        Take();
    }

    protected TemplateException Fault(string reason, int? line = null) => new("TemplateSyntaxError", reason, line ?? Current.Line);

    /// <summary>One expression, or several with commas between: a tuple.</summary>
    internal Expression ParseTuple(bool withConditional = true, bool parenthesised = false, Func<bool>? ends = null)
    {
        var items = new List<Expression>();
        var isTuple = false;
        while (true)
        {
            if (items.Count > 0 && !TakeIf(","))
            {
                break;
            }

            isTuple |= items.Count > 0;
            if (Current.Kind is TokenKind.VariableEnd or TokenKind.BlockEnd || Current.IsOperator(")") || ends?.Invoke() == true)
            {
                break;
            }

            items.Add(withConditional ? ParseExpression() : ParseOr());
        }

        if (!isTuple && items.Count == 1)
        {
            return items[0];
        }

        return items.Count > 0 || parenthesised ? new Sequence(SequenceKind.Tuple, items) : throw Fault($"Expected an expression, got '{Current.Describe()}'");
    }

    internal Expression ParseExpression()
    {
        _links = _depth == 0 ? 0 : _links;
        if (++_depth > RenderContext.MaximumDepth)
        {
            throw Fault("the expression is nested too deeply");
        }

        var expression = ParseOr();
        while (TakeName("if"))
        {
            ConditionalDepth++;
            var test = ParseOr();
            expression = Linked(new Conditional(test, expression, TakeName("else") ? ParseExpression() : null));
            ConditionalDepth--;
        }

        _depth--;
        return expression;
    }

    internal Expression ParseOr()
    {
        var left = ParseAnd();
        while (TakeName("or"))
        {
            left = Linked(new Logical(false, left, ParseAnd()));
        }

        return left;
    }

    /// <summary>A target of an assignment: names, or a tuple of names.</summary>
    internal Expression ParseTarget(bool allowAttribute)
    {
        var items = new List<Expression>();
        var isTuple = false;
        do
        {
            if (items.Count > 0 && (Current.IsName("in") || Current.IsOperator("=")))
            {
                break;
            }

            if (TakeIf("("))
            {
                if (++_depth > RenderContext.MaximumDepth)
                {
                    throw Fault("the expression is nested too deeply");
                }

                items.Add(ParseTarget(allowAttribute));
                _depth--;
                Expect(")");
            }
            else
            {
                var name = ExpectName();
                items.Add(allowAttribute && TakeIf(".") ? new NamespaceTarget(name, ExpectName()) : new Name(name));
            }

            isTuple |= Current.IsOperator(",");
        }
        while (TakeIf(","));

        return isTuple ? new Sequence(SequenceKind.Tuple, items) : items[0];
    }

    /// <summary>A chain of filters; the first value is left out where it is a block's text.</summary>
    internal FilterExpression ParseFilterChain()
    {
        FilterExpression? chain = null;
        do
        {
            chain = Linked(ParseFilter(chain));
        }
        while (TakeIf("|"));

        return chain;
    }

    private Expression ParseAnd()
    {
        var left = ParseNot();
        while (TakeName("and"))
        {
            left = Linked(new Logical(true, left, ParseNot()));
        }

        return left;
    }

    private Expression ParseNot()
    {
        if (++_depth > RenderContext.MaximumDepth)
        {
            throw Fault("the expression is nested too deeply");
        }

        var expression = TakeName("not") ? new Not(ParseNot()) : ParseComparison();
        _depth--;
        return expression;
    }

    private Expression ParseComparison()
    {
        var first = ParseSum();
        var rest = new List<(string, Expression)>();
        while (true)
        {
            if (Current.Kind == TokenKind.Operator && Current.Text is "==" or "!=" or "<" or "<=" or ">" or ">=")
            {
                rest.Add((Take().Text, ParseSum()));
            }
            else if (TakeName("in"))
            {
                rest.Add(("in", ParseSum()));
            }
            else if (Current.IsName("not") && Ahead.IsName("in"))
            {
                Take();
                Take();
                rest.Add(("notin", ParseSum()));
            }
            else
            {
                return rest.Count == 0 ? first : new Comparison(first, rest);
            }
        }
    }

    private Expression ParseSum()
    {
        var left = ParseConcatenation();
        while (Current.Kind == TokenKind.Operator && Current.Text is "+" or "-")
        {
            left = Linked(new Arithmetic(Take().Text, left, ParseConcatenation()));
        }

        return left;
    }

    private Expression ParseConcatenation()
    {
        var parts = new List<Expression> { ParseProduct() };
        while (TakeIf("~"))
        {
            parts.Add(ParseProduct());
        }

        return parts.Count == 1 ? parts[0] : new Concatenation(parts);
    }

    private Expression ParseProduct()
    {
        var left = ParsePower();
        while (Current.Kind == TokenKind.Operator && Current.Text is "*" or "/" or "//" or "%")
        {
            left = Linked(new Arithmetic(Take().Text, left, ParsePower()));
        }

        return left;
    }

    private Expression ParsePower()
    {
        var left = ParseUnary(true);
        while (TakeIf("**"))
        {
            left = Linked(new Arithmetic("**", left, ParseUnary(true)));
        }

        return left;
    }

    private Expression ParseUnary(bool withFilter)
    {
        if (++_depth > RenderContext.MaximumDepth)
        {
            throw Fault("the expression is nested too deeply");
        }

        var expression = TakeIf("-") ? new Sign(true, ParseUnary(false)) : TakeIf("+") ? new Sign(false, ParseUnary(false)) : ParsePrimary();
        expression = ParsePostfix(expression);
        expression = withFilter ? ParseFilters(expression) : expression;
        _depth--;
        return expression;
    }

    // A chain (a.b.c, a + b + c) is as deep as it is long, whatever its depth in brackets.
    private T Linked<T>(T expression)
        where T : Expression =>
        ++_links <= MaximumLinks ? expression : throw Fault("the expression is too long");

    private TemplateException Expected(string what) => Current.Kind == TokenKind.End
        ? Fault($"unexpected end of template, expected '{what}'.")
        : Fault($"expected token '{what}', got '{Current.Describe()}'");
}
