namespace DistTune.Core.Text;

/// <summary>Which of the well-known patterns a <see cref="WordScanner"/> follows.</summary>
internal enum WordPattern
{
    /// <summary>The GPT-2 pattern: contractions, words, numbers and signs with one leading space.</summary>
    Gpt2,

    /// <summary>The cl100k family of Llama 3 and Qwen 2: any one sign may lead a word, digits in short groups, line breaks apart.</summary>
    Cl100k,
}

/// <summary>
/// Cuts text into words exactly as the published regular expressions do, by code point, an order of magnitude faster than a general
/// regular expression engine.
/// </summary>
internal sealed class WordScanner(WordPattern pattern, int maxDigits)
{
    /// <summary>The GPT-2 pattern, also built into the ByteLevel pre-tokenizer.</summary>
    internal const string Gpt2Regex = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    internal const string Llama3Regex =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    internal const string Qwen2Regex =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    internal static WordScanner Gpt2 { get; } = new(WordPattern.Gpt2, int.MaxValue);

    /// <summary>The scanner of a known pattern, or null.</summary>
    internal static WordScanner? ForRegex(string regex) => regex switch
    {
        Gpt2Regex => Gpt2,
        Llama3Regex => new WordScanner(WordPattern.Cl100k, 3),
        Qwen2Regex => new WordScanner(WordPattern.Cl100k, 1),
        _ => null,
    };

    /// <summary>Adds the words of a span; they cover it without gaps.</summary>
    internal void Scan(ReadOnlySpan<char> text, TextSpan span, List<TextSpan> words)
    {
        var window = text[..span.End];
        for (var start = span.Start; start < span.End;)
        {
            var end = pattern == WordPattern.Gpt2 ? NextGpt2(window, start) : NextCl100k(window, start);
            words.Add(new TextSpan(start, end));
            start = end;
        }
    }

    private static int NextGpt2(ReadOnlySpan<char> text, int start)
    {
        if (text[start] == '\'' && Contraction(text, start, ignoreCase: false) is var contraction and > 0)
        {
            return start + contraction;
        }

        var first = text[start] == ' ' && start + 1 < text.Length ? start + 1 : start;
        var kind = CharacterClass.At(text, first, out _);
        return CharacterClass.IsSpace(kind) ? Spaces(text, start) : RunOf(text, first, kind, int.MaxValue);
    }

    private int NextCl100k(ReadOnlySpan<char> text, int start)
    {
        if (text[start] == '\'' && Contraction(text, start, ignoreCase: true) is var contraction and > 0)
        {
            return start + contraction;
        }

        var kind = CharacterClass.At(text, start, out var length);
        if (kind == CharacterClass.Letter)
        {
            return RunOf(text, start, kind, int.MaxValue);
        }

        if (kind == CharacterClass.Number)
        {
            return RunOf(text, start, kind, maxDigits);
        }

        var next = start + length;
        var nextKind = next < text.Length ? CharacterClass.At(text, next, out _) : CharacterClass.LineBreak;
        if (kind != CharacterClass.LineBreak && nextKind == CharacterClass.Letter)
        {
            return RunOf(text, next, nextKind, int.MaxValue);
        }

        if (kind == CharacterClass.Other || (text[start] == ' ' && nextKind == CharacterClass.Other))
        {
            return LineBreaks(text, RunOf(text, kind == CharacterClass.Other ? start : next, CharacterClass.Other, int.MaxValue));
        }

        return LastLineBreak(text, start) is var lineEnd and > 0 ? lineEnd : Spaces(text, start);
    }

    private static int RunOf(ReadOnlySpan<char> text, int start, byte kind, int maximum)
    {
        var end = start;
        for (var count = 0; end < text.Length && count < maximum; count++)
        {
            if (CharacterClass.At(text, end, out var length) != kind)
            {
                break;
            }

            end += length;
        }

        return end;
    }

    private static int LineBreaks(ReadOnlySpan<char> text, int end)
    {
        while (end < text.Length && text[end] is '\r' or '\n')
        {
            end++;
        }

        return end;
    }

    /// <summary>End of <c>\s*[\r\n]+</c>, or 0 where the run of white space holds no line break.</summary>
    private static int LastLineBreak(ReadOnlySpan<char> text, int start)
    {
        var last = 0;
        for (var end = start; end < text.Length; end++)
        {
            var kind = CharacterClass.At(text, end, out _);
            if (!CharacterClass.IsSpace(kind))
            {
                break;
            }

            if (kind == CharacterClass.LineBreak)
            {
                last = end + 1;
            }
        }

        return last;
    }

    /// <summary>End of <c>\s+(?!\S)|\s+</c>: the last space is left to the word that follows.</summary>
    private static int Spaces(ReadOnlySpan<char> text, int start)
    {
        var end = start;
        while (end < text.Length && CharacterClass.IsSpace(CharacterClass.At(text, end, out _)))
        {
            end++;
        }

        return end == text.Length || end - start == 1 ? end : end - 1;
    }

    /// <summary>UTF-16 units of the contraction at an apostrophe, or 0. Without case, U+017F folds to s.</summary>
    private static int Contraction(ReadOnlySpan<char> text, int start, bool ignoreCase)
    {
        var first = Letter(text, start + 1, ignoreCase);
        switch (first)
        {
            case 's' or 't' or 'm' or 'd':
                return 2;
            case 'r' or 'v' when Letter(text, start + 2, ignoreCase) == 'e':
                return 3;
            case 'l' when Letter(text, start + 2, ignoreCase) == 'l':
                return 3;
            default:
                return 0;
        }
    }

    private static char Letter(ReadOnlySpan<char> text, int index, bool ignoreCase)
    {
        if (index >= text.Length)
        {
            return '\0';
        }

        var letter = text[index];
        return !ignoreCase ? letter : letter == '\u017F' ? 's' : letter is >= 'A' and <= 'Z' ? (char)(letter | 0x20) : letter;
    }
}
