using System.Globalization;
using System.Text;

namespace DistTune.Core.Metrics;

/// <summary>
/// Overlap of an answer's words with a reference's (the F1 of SQuAD, Rajpurkar et al. 2016, arXiv:1606.05250), with Turkish case rules:
/// words are compared without case and punctuation.
/// </summary>
public static class TokenF1
{
    /// <summary>F1 in 0..1 of the two multisets of words; 1 if both are empty, 0 if one is.</summary>
    public static double Score(string answer, string reference)
    {
        var (a, b) = (Words(answer), Words(reference));
        if (a.Length == 0 || b.Length == 0)
        {
            return a.Length == b.Length ? 1 : 0;
        }

        var left = b.CountBy(word => word, StringComparer.Ordinal).ToDictionary(StringComparer.Ordinal);
        var same = 0;
        foreach (var word in a)
        {
            if (left.TryGetValue(word, out var count) && count > 0)
            {
                left[word] = count - 1;
                same++;
            }
        }

        var (precision, recall) = ((double)same / a.Length, (double)same / b.Length);
        return same == 0 ? 0 : 2 * precision * recall / (precision + recall);
    }

    /// <summary>Mean of the scores of pairs; 0 if there are none.</summary>
    public static double Mean(IEnumerable<(string Answer, string Reference)> pairs) =>
        pairs.Select(pair => Score(pair.Answer, pair.Reference)).DefaultIfEmpty(0).Average();

    /// <summary>Composed, lower case (I is ı, İ is i), without punctuation, words apart by one space.</summary>
    public static string Normalise(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return string.Join(' ', Words(text));
    }

    private static string[] Words(string text)
    {
        var kept = new StringBuilder(text.Length);
        foreach (var rune in text.Normalize(NormalizationForm.FormC).Replace('İ', 'i').Replace('I', 'ı').EnumerateRunes())
        {
            var category = Rune.GetUnicodeCategory(rune);
            if (category is >= UnicodeCategory.ConnectorPunctuation and <= UnicodeCategory.OtherPunctuation)
            {
                continue;
            }

            // The reference also parts words at the four information separators.
            kept.Append(Rune.IsWhiteSpace(rune) || rune.Value is >= 0x1C and <= 0x1F ? " " : Rune.ToLowerInvariant(rune).ToString());
        }

        return kept.ToString().Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }
}
