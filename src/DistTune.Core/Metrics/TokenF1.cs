using System.Globalization;
using System.Text;
using DistTune.Core.Text.Jinja;

namespace DistTune.Core.Metrics;

/// <summary>What is taken from answers before they are compared.</summary>
public enum AnswerNormalization
{
    /// <summary>Turkish lower case, no punctuation of any script.</summary>
    Turkish,

    /// <summary>SQuAD's own: lower case, no ASCII punctuation, no English articles.</summary>
    English,
}

/// <summary>
/// Overlap of an answer's words with a reference's (the F1 of SQuAD, Rajpurkar et al. 2016, arXiv:1606.05250), with Turkish case rules by
/// default: words are compared without case and punctuation.
/// </summary>
public static class TokenF1
{
    /// <summary>F1 in 0..1 of the two multisets of words; 1 if both are empty, 0 if one is.</summary>
    public static double Score(string answer, string reference, AnswerNormalization normalization = AnswerNormalization.Turkish)
    {
        var (a, b) = (Words(answer, normalization), Words(reference, normalization));
        if (a.Count == 0 || b.Count == 0)
        {
            return a.Count == b.Count ? 1 : 0;
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

        var (precision, recall) = ((double)same / a.Count, (double)same / b.Count);
        return same == 0 ? 0 : 2 * precision * recall / (precision + recall);
    }

    /// <summary>Mean of the scores of pairs; 0 if there are none.</summary>
    public static double Mean(IEnumerable<(string Answer, string Reference)> pairs) =>
        pairs.Select(pair => Score(pair.Answer, pair.Reference)).DefaultIfEmpty(0).Average();

    /// <summary>Whether answer and reference are equal once normalised.</summary>
    public static bool ExactMatch(string answer, string reference, AnswerNormalization normalization = AnswerNormalization.Turkish) =>
        string.Equals(Normalise(answer, normalization), Normalise(reference, normalization), StringComparison.Ordinal);

    /// <summary>The words that are compared, one space apart. Turkish: composed, lower case (I is ı, İ is i), without punctuation.</summary>
    public static string Normalise(string text, AnswerNormalization normalization = AnswerNormalization.Turkish)
    {
        ArgumentNullException.ThrowIfNull(text);
        return string.Join(' ', Words(text, normalization));
    }

    private static List<string> Words(string text, AnswerNormalization normalization)
    {
        if (normalization == AnswerNormalization.English)
        {
            var plain = string.Concat(PythonText.Lower(text).Where(unit => !char.IsAscii(unit) || !(char.IsPunctuation(unit) || char.IsSymbol(unit))));
            return PythonText.SplitSpaces(EnglishArticles.Remove(plain));
        }

        var lower = PythonText.Lower(text.Normalize(NormalizationForm.FormC).Replace('İ', 'i').Replace('I', 'ı'));
        var kept = new StringBuilder(lower.Length);
        foreach (var rune in lower.EnumerateRunes())
        {
            if (Rune.GetUnicodeCategory(rune) is not (>= UnicodeCategory.ConnectorPunctuation and <= UnicodeCategory.OtherPunctuation))
            {
                kept.Append(rune.ToString());
            }
        }

        return PythonText.SplitSpaces(kept.ToString());
    }
}
