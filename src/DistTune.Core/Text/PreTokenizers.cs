using System.Text.RegularExpressions;

namespace DistTune.Core.Text;

/// <summary>Cuts a piece into words; tokens never cross the border of a word.</summary>
internal interface IPreTokenizer
{
    /// <summary>Cuts <paramref name="spans"/> further. May give back another text (with the spans that fit it).</summary>
    TextPiece Split(TextPiece piece, ref List<TextSpan> spans);
}

internal sealed class SequencePreTokenizer(IReadOnlyList<IPreTokenizer> parts) : IPreTokenizer
{
    public TextPiece Split(TextPiece piece, ref List<TextSpan> spans)
    {
        foreach (var part in parts)
        {
            piece = part.Split(piece, ref spans);
        }

        return piece;
    }
}

/// <summary>GPT-2's pre-tokenizer; the mapping of bytes to characters is the model's business (<see cref="ByteAlphabet"/>).</summary>
internal sealed class ByteLevelPreTokenizer(bool addPrefixSpace, bool useRegex) : IPreTokenizer
{
    public TextPiece Split(TextPiece piece, ref List<TextSpan> spans)
    {
        if (addPrefixSpace)
        {
            piece = AddPrefixSpaces(piece, ref spans);
        }

        if (useRegex)
        {
            var words = new List<TextSpan>(Math.Max(16, piece.Text.Length / 4));
            foreach (var span in spans)
            {
                WordScanner.Gpt2.Scan(piece.Text, span, words);
            }

            spans = words;
        }

        return piece;
    }

    private static TextPiece AddPrefixSpaces(TextPiece piece, ref List<TextSpan> spans)
    {
        if (spans.TrueForAll(span => piece.Text[span.Start] == ' '))
        {
            return piece;
        }

        var builder = new TextPieceBuilder(piece, piece.Text.Length + spans.Count);
        var moved = new List<TextSpan>(spans.Count);
        var length = 0;
        foreach (var span in spans)
        {
            var start = length;
            if (piece.Text[span.Start] != ' ')
            {
                builder.Insert(" ", span.Start);
                length++;
            }

            for (var unit = span.Start; unit < span.End; unit++)
            {
                builder.Add(piece.Text.AsSpan(unit, 1), unit);
            }

            length += span.Length;
            moved.Add(new TextSpan(start, length));
        }

        spans = moved;
        return builder.Build();
    }
}

/// <summary>Sets numbers apart, digit by digit or as runs.</summary>
internal sealed class DigitsPreTokenizer(bool individual) : IPreTokenizer
{
    public TextPiece Split(TextPiece piece, ref List<TextSpan> spans)
    {
        var text = piece.Text.AsSpan();
        var words = new List<TextSpan>(spans.Count);
        foreach (var span in spans)
        {
            var start = span.Start;
            var inNumber = false;
            for (var unit = span.Start; unit < span.End;)
            {
                var isNumber = CharacterClass.At(text, unit, out var length) == CharacterClass.Number;
                if (unit > start && (isNumber != inNumber || (isNumber && individual)))
                {
                    words.Add(new TextSpan(start, unit));
                    start = unit;
                }

                inNumber = isNumber;
                unit += length;
            }

            if (span.End > start)
            {
                words.Add(new TextSpan(start, span.End));
            }
        }

        spans = words;
        return piece;
    }
}

/// <summary>What becomes of a delimiter, in the terms of tokenizer.json.</summary>
internal enum SplitBehavior
{
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// <summary>Cuts at the matches of a pattern: a known word pattern, a literal, or a general regular expression.</summary>
internal sealed class SplitPreTokenizer : IPreTokenizer
{
    private readonly WordScanner? _scanner;
    private readonly string? _literal;
    private readonly CodePointRegex? _regex;
    private readonly SplitBehavior _behavior;
    private readonly bool _invert;

    private SplitPreTokenizer(WordScanner? scanner, string? literal, CodePointRegex? regex, SplitBehavior behavior, bool invert)
    {
        (_scanner, _literal, _regex, _behavior, _invert) = (scanner, literal, regex, behavior, invert);
    }

    internal static SplitPreTokenizer ForRegex(string regex, SplitBehavior behavior, bool invert)
    {
        // The known patterns match everything, so cutting into matches is the same for these two settings.
        var coversAll = (behavior == SplitBehavior.Isolated && !invert) || (behavior == SplitBehavior.Removed && invert);
        var scanner = coversAll ? WordScanner.ForRegex(regex) : null;
        return new SplitPreTokenizer(scanner, null, scanner is null ? new CodePointRegex(regex) : null, behavior, invert);
    }

    internal static SplitPreTokenizer ForLiteral(string literal, SplitBehavior behavior, bool invert) => new(null, literal, null, behavior, invert);

    public TextPiece Split(TextPiece piece, ref List<TextSpan> spans)
    {
        var words = new List<TextSpan>(Math.Max(16, piece.Text.Length / 4));
        foreach (var span in spans)
        {
            if (_scanner is not null)
            {
                _scanner.Scan(piece.Text, span, words);
            }
            else
            {
                Arrange(Cut(piece.Text, span), words);
            }
        }

        spans = words;
        return piece;
    }

    /// <summary>The span as a gapless list of delimiters and what lies between.</summary>
    private List<(TextSpan Span, bool Delimiter)> Cut(string text, TextSpan span)
    {
        var parts = new List<(TextSpan, bool)>();
        var end = span.Start;
        foreach (var match in _regex is not null ? _regex.Matches(text, span) : Literals(text, span))
        {
            if (match.Start > end)
            {
                parts.Add((new TextSpan(end, match.Start), _invert));
            }

            if (match.Length > 0)
            {
                parts.Add((match, !_invert));
            }

            end = match.End;
        }

        if (end < span.End)
        {
            parts.Add((new TextSpan(end, span.End), _invert));
        }

        return parts;
    }

    private List<TextSpan> Literals(string text, TextSpan span)
    {
        var found = new List<TextSpan>();
        for (var start = span.Start; _literal!.Length > 0;)
        {
            var at = text.IndexOf(_literal, start, span.End - start, StringComparison.Ordinal);
            if (at < 0)
            {
                break;
            }

            start = at + _literal.Length;
            found.Add(new TextSpan(at, start));
        }

        return found;
    }

    private void Arrange(List<(TextSpan Span, bool Delimiter)> parts, List<TextSpan> words)
    {
        var first = words.Count;
        var previousDelimiter = false;
        for (var i = 0; i < parts.Count; i++)
        {
            var (span, delimiter) = parts[i];
            switch (_behavior)
            {
                case SplitBehavior.Removed when delimiter:
                    break;
                case SplitBehavior.MergedWithPrevious when delimiter && !previousDelimiter && words.Count > first:
                case SplitBehavior.Contiguous when delimiter == previousDelimiter && words.Count > first:
                    words[^1] = new TextSpan(words[^1].Start, span.End);
                    break;
                case SplitBehavior.MergedWithNext when delimiter && i + 1 < parts.Count && !parts[i + 1].Delimiter:
                    words.Add(new TextSpan(span.Start, parts[i + 1].Span.End));
                    i++;
                    delimiter = false;
                    break;
                default:
                    words.Add(span);
                    break;
            }

            previousDelimiter = delimiter;
        }
    }
}

/// <summary>
/// A .NET regular expression that sees code points. Every character outside the basic plane is shown to the engine as one stand-in
/// character of the same category, so that <c>\p{L}</c>, <c>[^\s]</c> and counts mean what they mean to the tokenizer's author.
/// </summary>
internal sealed class CodePointRegex
{
    // A pattern that a tokenizer's author meant takes microseconds a word; one that backtracks without end is found out soon.
    private static readonly TimeSpan LongestMatch = TimeSpan.FromSeconds(1);

    private readonly Regex _regex;

    internal CodePointRegex(string pattern)
    {
        try
        {
            _regex = new Regex(pattern, RegexOptions.CultureInvariant, LongestMatch);
        }
        catch (ArgumentException error)
        {
            throw new DistTuneException(
                FaultKind.InvalidFile,
                $"The tokenizer's Split pattern {pattern} is not a regular expression that this tokenizer knows: {error.Message} Use a tokenizer with the GPT-2, Llama 3 or Qwen 2 pattern.",
                error);
        }
    }

    internal List<TextSpan> Matches(string text, TextSpan span)
    {
        var shadow = new System.Text.StringBuilder(span.Length);
        var units = new List<int>(span.Length + 1);
        for (var unit = span.Start; unit < span.End; unit++)
        {
            units.Add(unit);
            if (char.IsHighSurrogate(text[unit]) && unit + 1 < span.End && char.IsLowSurrogate(text[unit + 1]))
            {
                shadow.Append(StandIn(char.ConvertToUtf32(text[unit], text[unit + 1])));
                unit++;
            }
            else
            {
                shadow.Append(text[unit]);
            }
        }

        units.Add(span.End);
        var found = new List<TextSpan>();
        try
        {
            for (var match = _regex.Match(shadow.ToString()); match.Success; match = match.NextMatch())
            {
                found.Add(new TextSpan(units[match.Index], units[match.Index + match.Length]));
            }
        }
        catch (RegexMatchTimeoutException error)
        {
            throw new DistTuneException(FaultKind.InvalidFile, $"The tokenizer's Split pattern {_regex} took more than {LongestMatch.TotalSeconds} s on one text of {span.Length} characters. Use a tokenizer with a known pattern.", error);
        }

        return found;
    }

    private static char StandIn(int codePoint) => System.Globalization.CharUnicodeInfo.GetUnicodeCategory(codePoint) switch
    {
        System.Globalization.UnicodeCategory.UppercaseLetter => '\u13A0',
        System.Globalization.UnicodeCategory.LowercaseLetter => '\uAB70',
        System.Globalization.UnicodeCategory.ModifierLetter => '\uA015',
        System.Globalization.UnicodeCategory.TitlecaseLetter => '\u1F88',
        System.Globalization.UnicodeCategory.OtherLetter => '\uA000',
        System.Globalization.UnicodeCategory.NonSpacingMark => '\u0F71',
        System.Globalization.UnicodeCategory.SpacingCombiningMark => '\u0903',
        System.Globalization.UnicodeCategory.EnclosingMark => '\u20DD',
        System.Globalization.UnicodeCategory.DecimalDigitNumber => '\u1040',
        System.Globalization.UnicodeCategory.LetterNumber => '\u16EE',
        System.Globalization.UnicodeCategory.OtherNumber => '\u1369',
        System.Globalization.UnicodeCategory.MathSymbol => '\u2A00',
        System.Globalization.UnicodeCategory.CurrencySymbol => '\u20B0',
        System.Globalization.UnicodeCategory.ModifierSymbol => '\uA700',
        System.Globalization.UnicodeCategory.OtherSymbol => '\u2801',
        System.Globalization.UnicodeCategory.OtherPunctuation => '\u1360',
        System.Globalization.UnicodeCategory.DashPunctuation => '\u2E3A',
        System.Globalization.UnicodeCategory.Format => '\u2060',
        System.Globalization.UnicodeCategory.PrivateUse => '\uE000',
        _ => '\u0378',
    };
}
