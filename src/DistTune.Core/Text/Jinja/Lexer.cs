namespace DistTune.Core.Text.Jinja;

internal enum TokenKind
{
    Data,
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name,
    String,
    Integer,
    Float,
    Operator,
    End,
}

internal readonly record struct Token(TokenKind Kind, string Text, int Line)
{
    internal bool IsName(string name) => Kind == TokenKind.Name && Text == name;

    internal bool IsOperator(string symbol) => Kind == TokenKind.Operator && Text == symbol;

    /// <summary>The token as Jinja's own messages call it.</summary>
    internal string Describe() => Kind switch
    {
        TokenKind.VariableEnd => "end of print statement",
        TokenKind.BlockEnd => "end of statement block",
        TokenKind.VariableBegin => "begin of print statement",
        TokenKind.BlockBegin => "begin of statement block",
        TokenKind.Data => "template data / text",
        TokenKind.End => "end of template",
        TokenKind.String => "string",
        TokenKind.Integer => "integer",
        TokenKind.Float => "float",
        _ => Text,
    };
}

/// <summary>
/// Cuts a template into tokens as Jinja 2 does with <c>trim_blocks</c> and <c>lstrip_blocks</c> on: the line break after a block tag and
/// the indentation before it are not output, <c>-</c> strips all white space, <c>+</c> keeps it.
/// </summary>
internal sealed partial class Lexer
{
    private readonly string _source;
    private readonly List<Token> _tokens = [];
    private int _at;
    private int _line = 1;
    private bool _lineStarting = true;

    private Lexer(string source) => _source = source;

    internal static List<Token> Tokenize(string source)
    {
        // Line breaks are one kind inside a template, and one at its very end is dropped.
        var text = source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        var lexer = new Lexer(text.EndsWith('\n') ? text[..^1] : text);
        lexer.Run();
        return lexer._tokens;
    }

    private void Run()
    {
        while (_at < _source.Length)
        {
            var tag = NextTag();
            if (tag < 0)
            {
                AddData(_source[_at..]);
                break;
            }

            var kind = _source[tag + 1];
            var sign = tag + 2 < _source.Length && _source[tag + 2] is '-' or '+' ? _source[tag + 2] : '\0';
            AddData(Before(_source[_at..tag], kind, sign));
            Advance(tag + 2 + (sign == '\0' ? 0 : 1));
            switch (kind)
            {
                case '#':
                    SkipComment();
                    break;
                case '%' when TryRaw():
                    break;
                default:
                    AddExpression(kind);
                    break;
            }
        }

        _tokens.Add(new Token(TokenKind.End, string.Empty, _line));
    }

    private int NextTag()
    {
        for (var at = _source.IndexOf('{', _at); at >= 0 && at + 1 < _source.Length; at = _source.IndexOf('{', at + 1))
        {
            if (_source[at + 1] is '{' or '%' or '#')
            {
                return at;
            }
        }

        return -1;
    }

    /// <summary>The text before a tag, less what the tag strips from it.</summary>
    private string Before(string text, char kind, char sign)
    {
        if (sign == '-')
        {
            return PythonText.TrimEnd(text);
        }

        if (sign == '+' || kind == '{')
        {
            return text;
        }

        var lineStart = text.LastIndexOf('\n') + 1;
        var blank = text.AsSpan(lineStart).IsWhiteSpace() && lineStart < text.Length;
        return blank && (lineStart > 0 || _lineStarting) ? text[..lineStart] : text;
    }

    private void SkipComment()
    {
        var end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
        if (end < 0)
        {
            throw Fault("Missing end of comment tag");
        }

        var sign = end > _at ? _source[end - 1] : '\0';
        Advance(end + 2);
        AfterBlock(sign);
    }

    private bool TryRaw()
    {
        var at = SkipSpace(_at);
        if (!Follows(at, "raw"))
        {
            return false;
        }

        at = SkipSpace(at + 3);
        var strip = at < _source.Length && _source[at] == '-';
        at += strip ? 1 : 0;
        if (!Follows(at, "%}"))
        {
            return false;
        }

        Advance(strip ? SkipSpace(at + 2) : at + 2);
        for (var end = _source.IndexOf("{%", _at, StringComparison.Ordinal); end >= 0; end = _source.IndexOf("{%", end + 2, StringComparison.Ordinal))
        {
            var sign = end + 2 < _source.Length && _source[end + 2] is '-' or '+' ? _source[end + 2] : '\0';
            var name = SkipSpace(end + 2 + (sign == '\0' ? 0 : 1));
            if (!Follows(name, "endraw"))
            {
                continue;
            }

            var close = SkipSpace(name + 6);
            var closeSign = close < _source.Length && _source[close] is '-' or '+' ? _source[close] : '\0';
            close += closeSign == '\0' ? 0 : 1;
            if (Follows(close, "%}"))
            {
                AddData(Before(_source[_at..end], '%', sign));
                Advance(close + 2);
                AfterBlock(closeSign);
                return true;
            }
        }

        throw Fault("Missing end of raw directive");
    }

    private void AddExpression(char kind)
    {
        var isVariable = kind == '{';
        _tokens.Add(new Token(isVariable ? TokenKind.VariableBegin : TokenKind.BlockBegin, string.Empty, _line));
        var open = new Stack<char>();
        while (true)
        {
            Advance(SkipSpace(_at));
            if (_at >= _source.Length)
            {
                // Jinja reports an unclosed tag through its parser.
                _lineStarting = false;
                return;
            }

            if (open.Count == 0 && TryEnd(isVariable))
            {
                return;
            }

            AddToken(open);
        }
    }

    private bool TryEnd(bool isVariable)
    {
        var sign = _source[_at] is '-' or '+' ? _source[_at] : '\0';
        if (sign == '+' && isVariable)
        {
            return false;
        }

        if (!Follows(_at + (sign == '\0' ? 0 : 1), isVariable ? "}}" : "%}"))
        {
            return false;
        }

        _tokens.Add(new Token(isVariable ? TokenKind.VariableEnd : TokenKind.BlockEnd, string.Empty, _line));
        Advance(_at + 2 + (sign == '\0' ? 0 : 1));
        if (!isVariable)
        {
            AfterBlock(sign);
        }
        else
        {
            Advance(sign == '-' ? SkipSpace(_at) : _at);
            _lineStarting = _source[_at - 1] == '\n';
        }

        return true;
    }

    private void AfterBlock(char sign)
    {
        if (sign == '-')
        {
            Advance(SkipSpace(_at));
        }
        else if (sign != '+' && _at < _source.Length && _source[_at] == '\n')
        {
            Advance(_at + 1);
        }

        _lineStarting = _source[_at - 1] == '\n';
    }

    private void AddData(string text)
    {
        if (text.Length > 0)
        {
            _tokens.Add(new Token(TokenKind.Data, text, _line));
        }
    }

    private void Advance(int to)
    {
        _line += _source.AsSpan(_at, to - _at).Count('\n');
        _at = to;
    }

    private int SkipSpace(int at)
    {
        while (at < _source.Length && PythonText.IsSpace(_source[at]))
        {
            at++;
        }

        return at;
    }

    private bool Follows(int at, string text) => at <= _source.Length && _source.AsSpan(at).StartsWith(text, StringComparison.Ordinal);

    private TemplateException Fault(string reason) => new("TemplateSyntaxError", reason, _line);
}
