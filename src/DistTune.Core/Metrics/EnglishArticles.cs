using System.Text.RegularExpressions;

namespace DistTune.Core.Metrics;

/// <summary>The words that SQuAD does not compare.</summary>
internal static partial class EnglishArticles
{
    /// <summary>The text with a space in place of each a, an and the.</summary>
    internal static string Remove(string text) => Article().Replace(text, " ");

    [GeneratedRegex(@"\b(?:a|an|the)\b", RegexOptions.CultureInvariant)]
    private static partial Regex Article();
}
