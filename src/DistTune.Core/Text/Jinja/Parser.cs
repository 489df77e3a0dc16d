namespace DistTune.Core.Text.Jinja;

/// <summary>Parses the statements of a template.</summary>
internal sealed class Parser : ExpressionParser
{
    private readonly Stack<(string Tag, string[] Ends)> _open = new();

    private Parser(List<Token> tokens)
        : base(tokens)
    {
    }

    internal static List<Statement> Parse(string source) => new Parser(Lexer.Tokenize(source)).ParseBody([]);

    /// <summary>Statements up to one of the end tags; the tag's name is the current token then.</summary>
    private List<Statement> ParseBody(string[] ends)
    {
        var body = new List<Statement>();
        while (true)
        {
            var token = Current;
            switch (token.Kind)
            {
                case TokenKind.End when ends.Length == 0:
                    return body;
                case TokenKind.End:
                    throw Fault($"Unexpected end of template. {Looking()}");
                case TokenKind.Data:
                    Take();
                    body.Add(new Data(token.Text) { Line = token.Line });
                    break;
                case TokenKind.VariableBegin:
                    Take();
                    body.Add(new Print(ParseTuple()) { Line = token.Line });
                    ExpectEnd(TokenKind.VariableEnd);
                    break;
                default:
                    Take();
                    if (Current.Kind == TokenKind.Name && ends.Contains(Current.Text, StringComparer.Ordinal))
                    {
                        return body;
                    }

                    body.Add(ParseStatement());
                    ExpectEnd(TokenKind.BlockEnd);
                    break;
            }
        }
    }

    private List<Statement> ParseBlock(string tag, params string[] ends)
    {
        if (_open.Count >= RenderContext.MaximumDepth)
        {
            throw Fault("blocks are nested too deeply");
        }

        ExpectEnd(TokenKind.BlockEnd);
        _open.Push((tag, ends));
        var body = ParseBody(ends);
        _open.Pop();
        return body;
    }

    private List<Statement> ParseClosedBlock(string tag, string end)
    {
        var body = ParseBlock(tag, end);
        Take();
        return body;
    }

    private Statement ParseStatement()
    {
        var line = Current.Line;
        if (Current.Kind != TokenKind.Name)
        {
            throw Fault("tag name expected");
        }

        var tag = Take().Text;
        return tag switch
        {
            "if" => ParseIf(line),
            "for" => ParseFor(line),
            "set" => ParseSet(line),
            "macro" => ParseMacro(line),
            "call" => ParseCall(line),
            "filter" => new FilterBlock(ParseFilterChain(), ParseClosedBlock(tag, "endfilter")) { Line = line },
            "with" => ParseWith(line),
            "generation" => new Generation(ParseClosedBlock(tag, "endgeneration")) { Line = line },
            "break" => new Jump(Flow.Break) { Line = line },
            "continue" => new Jump(Flow.Continue) { Line = line },
            "include" or "import" or "from" or "extends" => throw new TemplateException("TypeError", "no loader for this environment specified", line),
            "block" or "autoescape" or "trans" => throw Fault($"the tag '{tag}' is not supported in chat templates", line),
            _ => throw UnknownTag(tag, line),
        };
    }

    private If ParseIf(int line)
    {
        var test = ParseTuple(withConditional: false);
        if (++ConditionalDepth > RenderContext.MaximumDepth)
        {
            throw Fault("too many elif blocks follow each other", line);
        }

        var then = ParseBlock("if", "elif", "else", "endif");
        var otherwise = new List<Statement>();
        var tag = Take();
        if (tag.Text == "elif")
        {
            otherwise.Add(ParseIf(tag.Line));
        }
        else if (tag.Text == "else")
        {
            otherwise = ParseClosedBlock("if", "endif");
        }

        ConditionalDepth--;
        return new If(test, then, otherwise) { Line = line };
    }

    private For ParseFor(int line)
    {
        var target = ParseTarget(allowAttribute: false);
        if (!TakeName("in"))
        {
            throw Fault($"expected token 'in', got '{Current.Describe()}'");
        }

        var source = ParseTuple(withConditional: false, ends: () => Current.IsName("recursive"));
        var filter = TakeName("if") ? ParseExpression() : null;
        var recursive = TakeName("recursive");
        var body = ParseBlock("for", "endfor", "else");
        var otherwise = Take().Text == "else" ? ParseClosedBlock("for", "endfor") : [];
        return new For(target, source, filter, body, otherwise, recursive) { Line = line };
    }

    private Statement ParseSet(int line)
    {
        var target = ParseTarget(allowAttribute: true);
        if (TakeIf("="))
        {
            return new Set(target, ParseTuple()) { Line = line };
        }

        var filter = TakeIf("|") ? ParseFilterChain() : null;
        return new SetBlock(target, filter, ParseClosedBlock("set", "endset")) { Line = line };
    }

    private Macro ParseMacro(int line)
    {
        var name = ExpectName();
        var parameters = ParseParameters();
        return ParseMacroBody(name, parameters, line, "macro", "endmacro");
    }

    private Macro ParseMacroBody(string name, List<MacroParameter> parameters, int line, string tag, string end)
    {
        var outer = NamesRead.ToList();
        NamesRead.Clear();
        var body = ParseClosedBlock(tag, end);
        var variadic = NamesRead.Contains("varargs") || NamesRead.Contains("kwargs");
        NamesRead.UnionWith(outer);
        return new Macro(name, parameters, body, variadic) { Line = line };
    }

    private List<MacroParameter> ParseParameters()
    {
        var parameters = new List<MacroParameter>();
        Expect("(");
        while (!TakeIf(")"))
        {
            if (parameters.Count > 0)
            {
                Expect(",");
            }

            parameters.Add(new MacroParameter(ExpectName(), TakeIf("=") ? ParseExpression() : null));
        }

        return parameters;
    }

    private CallBlock ParseCall(int line)
    {
        var parameters = Current.IsOperator("(") ? ParseParameters() : [];
        var call = ParseExpression() as Call ?? throw Fault("expected call", line);
        return new CallBlock(call, ParseMacroBody("caller", parameters, line, "call", "endcall")) { Line = line };
    }

    private With ParseWith(int line)
    {
        var names = new List<(Expression, Expression)>();
        while (Current.Kind != TokenKind.BlockEnd)
        {
            if (names.Count > 0)
            {
                Expect(",");
            }

            var target = new Name(ExpectName());
            Expect("=");
            names.Add((target, ParseExpression()));
        }

        return new With(names, ParseClosedBlock("with", "endwith")) { Line = line };
    }

    private TemplateException UnknownTag(string tag, int line) => Fault(
        _open.Count == 0 ? $"Encountered unknown tag '{tag}'."
        : _open.Peek().Ends.Contains(tag, StringComparer.Ordinal) ? $"Unexpected '{tag}'."
        : $"Encountered unknown tag '{tag}'. {Looking()}",
        line);

    private string Looking() => _open.TryPeek(out var open)
        ? $"Jinja was looking for the following tags: {string.Join(" or ", open.Ends.Select(end => $"'{end}'"))}. The innermost block that needs to be closed is '{open.Tag}'."
        : string.Empty;
}
