using System.Globalization;
using System.Text;

namespace DistTune.Core.Text.Jinja;

/// <summary>The tokens within a tag: names, numbers, texts and operators.</summary>
internal sealed partial class Lexer
{
    private static readonly string[] Operators =
        ["//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"];

    private void AddToken(Stack<char> open)
    {
        var first = _source[_at];
        if (first is '\'' or '"')
        {
            AddString(first);
        }
        else if (char.IsAsciiDigit(first))
        {
            AddNumber();
        }
        else if (first == '_' || char.IsLetter(first))
        {
            var end = _at;
            while (end < _source.Length && (_source[end] == '_' || char.IsLetterOrDigit(_source[end])))
            {
                end++;
            }

            _tokens.Add(new Token(TokenKind.Name, _source[_at..end], _line));
            Advance(end);
        }
        else
        {
            AddOperator(open);
        }
    }

    private void AddOperator(Stack<char> open)
    {
        var symbol = Array.Find(Operators, candidate => Follows(_at, candidate))
            ?? throw Fault($"unexpected char {PythonText.Repr(_source[_at].ToString())} at {_at}");
        if (symbol is "(" or "[" or "{")
        {
            open.Push(symbol[0] switch { '(' => ')', '[' => ']', _ => '}' });
        }
        else if (symbol is ")" or "]" or "}")
        {
            if (!open.TryPop(out var expected))
            {
                throw Fault($"unexpected '{symbol}'");
            }

            if (expected != symbol[0])
            {
                throw Fault($"unexpected '{symbol}', expected '{expected}'");
            }
        }

        _tokens.Add(new Token(TokenKind.Operator, symbol, _line));
        Advance(_at + symbol.Length);
    }

    private void AddNumber()
    {
        var end = Digits(_at);
        var isFloat = false;
        if (_source[_at] == '0' && end == _at + 1 && end < _source.Length && (char)(_source[end] | 0x20) is 'x' or 'o' or 'b')
        {
            end++;
            while (end < _source.Length && (char.IsAsciiHexDigit(_source[end]) || _source[end] == '_'))
            {
                end++;
            }
        }
        else
        {
            if (end + 1 < _source.Length && _source[end] == '.' && char.IsAsciiDigit(_source[end + 1]))
            {
                end = Digits(end + 1);
                isFloat = true;
            }

            var exponent = end + 1 < _source.Length && _source[end] is 'e' or 'E' ? end + 1 : -1;
            exponent += exponent > 0 && _source[exponent] is '+' or '-' ? 1 : 0;
            if (exponent > 0 && exponent < _source.Length && char.IsAsciiDigit(_source[exponent]))
            {
                end = Digits(exponent);
                isFloat = true;
            }
        }

        _tokens.Add(new Token(isFloat ? TokenKind.Float : TokenKind.Integer, _source[_at..end].Replace("_", string.Empty, StringComparison.Ordinal), _line));
        Advance(end);
    }

    private int Digits(int at)
    {
        while (at < _source.Length && (char.IsAsciiDigit(_source[at]) || (_source[at] == '_' && at + 1 < _source.Length && char.IsAsciiDigit(_source[at + 1]))))
        {
            at++;
        }

        return at;
    }

    private void AddString(char quote)
    {
        var text = new StringBuilder();
        var at = _at + 1;
        while (true)
        {
            if (at >= _source.Length)
            {
                throw Fault($"unexpected char {PythonText.Repr(quote.ToString())} at {_at}");
            }

            if (_source[at] == quote)
            {
                break;
            }

            at = _source[at] == '\\' && at + 1 < _source.Length ? Escape(at + 1, text) : Literal(at, text);
        }

        _tokens.Add(new Token(TokenKind.String, text.ToString(), _line));
        Advance(at + 1);
    }

    private int Literal(int at, StringBuilder text)
    {
        text.Append(_source[at]);
        return at + 1;
    }

    /// <summary>Appends what an escape stands for (Python's rules) and returns the place after it.</summary>
    private int Escape(int at, StringBuilder text)
    {
        var letter = _source[at];
        var digits = letter switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
        if (digits > 0)
        {
            if (at + digits >= _source.Length || !uint.TryParse(_source.AsSpan(at + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code) || code > 0x10FFFF)
            {
                throw Fault($"The escape '\\{letter}' needs {digits} hexadecimal digits of a character.");
            }

            text.Append(code is >= 0xD800 and <= 0xDFFF ? ((char)code).ToString() : char.ConvertFromUtf32((int)code));
            return at + 1 + digits;
        }

        if (letter is >= '0' and <= '7')
        {
            var (value, end) = (0, at);
            while (end < at + 3 && end < _source.Length && _source[end] is >= '0' and <= '7')
            {
                value = (value * 8) + (_source[end++] - '0');
            }

            text.Append((char)value);
            return end;
        }

        const string Letters = "nrtabfv\\'\"\n";
        const string Values = "\n\r\t\a\b\f\v\\'\"";
        var index = Letters.IndexOf(letter, StringComparison.Ordinal);
        text.Append(index < 0 ? $"\\{letter}" : index < Values.Length ? Values[index].ToString() : string.Empty);
        return at + 1;
    }
}
