using System.Buffers;
using System.Text;

namespace DistTune.Core.Text;

/// <summary>A token that is cut out of the text before anything else.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Content">Its text.</param>
/// <param name="Special">Whether decoding may skip it.</param>
/// <param name="SingleWord">Only where no word character stands beside it.</param>
/// <param name="StripLeft">White space before it belongs to it.</param>
/// <param name="StripRight">White space after it belongs to it.</param>
/// <param name="Normalized">It is looked for in the normalised text.</param>
public sealed record AddedToken(int Id, string Content, bool Special, bool SingleWord = false, bool StripLeft = false, bool StripRight = false, bool Normalized = false);

/// <summary>Finds added tokens in a text: leftmost first, the longest of those that start at one place.</summary>
internal sealed class AddedTokenMatcher
{
    private readonly SearchValues<char> _firstUnits;
    private readonly Dictionary<char, (string Content, AddedToken Token)[]> _byFirstUnit;

    internal AddedTokenMatcher(IEnumerable<(string Content, AddedToken Token)> tokens)
    {
        _byFirstUnit = tokens.Where(entry => entry.Content.Length > 0)
            .GroupBy(entry => entry.Content[0])
            .ToDictionary(group => group.Key, group => group.OrderByDescending(entry => entry.Content.Length).ToArray());
        _firstUnits = SearchValues.Create(_byFirstUnit.Keys.ToArray());
    }

    /// <summary>The matches in a text, in order.</summary>
    internal List<(TextSpan Span, AddedToken Token)> Find(string text)
    {
        var found = new List<(TextSpan, AddedToken)>();
        var free = 0;
        for (var at = 0; at < text.Length;)
        {
            var step = text.AsSpan(at).IndexOfAny(_firstUnits);
            if (step < 0)
            {
                break;
            }

            at += step;
            if (Longest(text, at) is not { } match)
            {
                at++;
                continue;
            }

            var (start, end) = (at, at + match.Content.Length);
            at = end;
            if (match.Token.SingleWord && (EndsWithWord(text.AsSpan(0, start)) || StartsWithWord(text.AsSpan(end))))
            {
                continue;
            }

            while (match.Token.StripLeft && start > free && char.IsWhiteSpace(text[start - 1]))
            {
                start--;
            }

            while (match.Token.StripRight && end < text.Length && char.IsWhiteSpace(text[end]))
            {
                end++;
            }

            // A stripped stretch may already cover the start of this match.
            if (start >= free)
            {
                found.Add((new TextSpan(start, end), match.Token));
                free = end;
                at = Math.Max(at, end);
            }
        }

        return found;
    }

    private (string Content, AddedToken Token)? Longest(string text, int at)
    {
        foreach (var entry in _byFirstUnit[text[at]])
        {
            if (text.AsSpan(at).StartsWith(entry.Content, StringComparison.Ordinal))
            {
                return entry;
            }
        }

        return null;
    }

    private static bool EndsWithWord(ReadOnlySpan<char> text) =>
        text.Length > 0 && Rune.DecodeLastFromUtf16(text, out var rune, out _) == OperationStatus.Done && CharacterClass.IsWord(rune.Value);

    private static bool StartsWithWord(ReadOnlySpan<char> text) =>
        text.Length > 0 && Rune.DecodeFromUtf16(text, out var rune, out _) == OperationStatus.Done && CharacterClass.IsWord(rune.Value);
}
