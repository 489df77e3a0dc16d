using System.Globalization;

namespace DistTune.Core.Text.Jinja;

/// <summary>What operators stand between: names, literals, and what follows them (attributes, items, calls, filters, tests).</summary>
internal partial class ExpressionParser
{
    private Expression ParsePrimary()
    {
        var token = Current;
        switch (token.Kind)
        {
            case TokenKind.Name:
                Take();
                NamesRead.Add(token.Text);
                return token.Text switch
                {
                    "true" or "True" => new Constant(true),
                    "false" or "False" => new Constant(false),
                    "none" or "None" => new Constant(null),
                    _ => new Name(token.Text),
                };
            case TokenKind.String:
                var text = Take().Text;
                while (Current.Kind == TokenKind.String)
                {
                    text += Take().Text;
                }

                return new Constant(text);
            case TokenKind.Integer:
                return new Constant(ParseInteger(Take()));
            case TokenKind.Float:
                return new Constant(double.Parse(Take().Text, NumberStyles.Float, CultureInfo.InvariantCulture));
            case TokenKind.Operator when token.Text == "(":
                Take();
                var tuple = ParseTuple(parenthesised: true);
                Expect(")");
                return tuple;
            case TokenKind.Operator when token.Text == "[":
                Take();
                return new Sequence(SequenceKind.List, ParseItems("]", ParseExpression));
            case TokenKind.Operator when token.Text == "{":
                Take();
                return new Dictionary(ParseItems("}", ParseEntry));
            default:
                throw Fault($"unexpected '{token.Describe()}'");
        }
    }

    private (Expression Key, Expression Value) ParseEntry()
    {
        var key = ParseExpression();
        Expect(":");
        return (key, ParseExpression());
    }

    private List<T> ParseItems<T>(string end, Func<T> parse)
    {
        var items = new List<T>();
        while (!TakeIf(end))
        {
            if (items.Count > 0)
            {
                Expect(",");
            }

            if (TakeIf(end))
            {
                break;
            }

            items.Add(parse());
        }

        return items;
    }

    private object ParseInteger(Token token)
    {
        var text = token.Text;
        var numberBase = text.Length > 1 ? char.ToLowerInvariant(text[1]) switch { 'x' => 16, 'o' => 8, 'b' => 2, _ => 10 } : 10;
        try
        {
            return numberBase == 10 ? long.Parse(text, CultureInfo.InvariantCulture) : Convert.ToInt64(text[2..], numberBase);
        }
        catch (Exception error) when (error is OverflowException or FormatException or ArgumentException)
        {
            throw Fault($"the number {text} does not fit into 64 bits", token.Line);
        }
    }

    private Expression ParsePostfix(Expression target)
    {
        while (true)
        {
            if (TakeIf("."))
            {
                target = Linked<Expression>(Current.Kind == TokenKind.Integer ? new Item(target, new Constant(ParseInteger(Take()))) : new Attribute(target, ExpectName()));
            }
            else if (TakeIf("["))
            {
                target = Linked(ParseSubscript(target));
            }
            else if (Current.IsOperator("("))
            {
                target = Linked(new Call(target, ParseArguments()));
            }
            else
            {
                return target;
            }
        }
    }

    private Expression ParseSubscript(Expression target)
    {
        var start = Current.IsOperator(":") ? null : ParseExpression();
        if (TakeIf(":"))
        {
            var stop = Current.IsOperator(":") || Current.IsOperator("]") ? null : ParseExpression();
            var step = TakeIf(":") && !Current.IsOperator("]") ? ParseExpression() : null;
            Expect("]");
            return new Slice(target, start, stop, step);
        }

        if (Current.IsOperator(","))
        {
            var items = new List<Expression> { start! };
            while (TakeIf(","))
            {
                items.Add(ParseExpression());
            }

            start = new Sequence(SequenceKind.Tuple, items);
        }

        Expect("]");
        return new Item(target, start!);
    }

    private Expression ParseFilters(Expression target)
    {
        while (true)
        {
            if (TakeIf("|"))
            {
                target = Linked(ParseFilter(target));
            }
            else if (TakeName("is"))
            {
                target = Linked(ParseTest(target));
            }
            else if (Current.IsOperator("("))
            {
                target = Linked(new Call(target, ParseArguments()));
            }
            else
            {
                return target;
            }
        }
    }

    private FilterExpression ParseFilter(Expression? target)
    {
        var line = Current.Line;
        var name = ParseDottedName();
        if (!Filters.Exists(name) && ConditionalDepth == 0)
        {
            throw new TemplateException("TemplateAssertionError", Filters.Unknown(name).Reason, line);
        }

        return new FilterExpression(target, name, Current.IsOperator("(") ? ParseArguments() : NoArguments);
    }

    private Expression ParseTest(Expression target)
    {
        var negated = TakeName("not");
        var line = Current.Line;
        var name = ParseDottedName();
        if (!Tests.Exists(name) && ConditionalDepth == 0)
        {
            throw new TemplateException("TemplateAssertionError", Tests.Unknown(name).Reason, line);
        }

        var arguments = NoArguments;
        if (Current.IsOperator("("))
        {
            arguments = ParseArguments();
        }
        else if (StartsOperand())
        {
            if (Current.IsName("is"))
            {
                throw Fault("You cannot chain multiple tests with is");
            }

            arguments = new CallArguments([ParsePostfix(ParsePrimary())], [], null, null);
        }

        Expression test = new TestExpression(target, name, arguments);
        return negated ? new Not(test) : test;
    }

    private bool StartsOperand() => Current.Kind is TokenKind.String or TokenKind.Integer or TokenKind.Float
        || (Current.Kind == TokenKind.Name && Current.Text is not ("else" or "or" or "and" or "if"))
        || Current.IsOperator("[") || Current.IsOperator("{");

    private string ParseDottedName()
    {
        var name = ExpectName();
        while (TakeIf("."))
        {
            name += "." + ExpectName();
        }

        return name;
    }

    protected CallArguments ParseArguments()
    {
        Expect("(");
        var positional = new List<Expression>();
        var named = new List<(string, Expression)>();
        Expression? spread = null;
        Expression? namedSpread = null;
        for (var first = true; !Current.IsOperator(")"); first = false)
        {
            if (!first)
            {
                Expect(",");
                if (Current.IsOperator(")"))
                {
                    break;
                }
            }

            if (TakeIf("**"))
            {
                namedSpread = ParseExpression();
            }
            else if (TakeIf("*"))
            {
                spread = ParseExpression();
            }
            else if (Current.Kind == TokenKind.Name && Ahead.IsOperator("="))
            {
                var name = Take().Text;
                Take();
                named.Add((name, ParseExpression()));
            }
            else if (named.Count > 0 || namedSpread is not null)
            {
                throw Fault("invalid syntax for function call expression");
            }
            else
            {
                positional.Add(ParseExpression());
            }
        }

        Expect(")");
        return new CallArguments(positional, named, spread, namedSpread);
    }
}
