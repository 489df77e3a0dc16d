using System.Globalization;
using System.Text;

namespace DistTune.Goldens.Support;

/// <summary>The README's table of what is supported, made of what tests showed.</summary>
public static class SupportTable
{
    private const string Begin = "<!-- support: made by ./disttune test --write-support -->";
    private const string End = "<!-- /support -->";

    private static readonly string[] Areas = [SupportedFeature.Families, SupportedFeature.Rotary, SupportedFeature.Adapters, SupportedFeature.Bases];

    /// <summary>The table as Markdown. A feature with a failed case is left out: it is not supported.</summary>
    public static string Render(IReadOnlyList<SupportEntry> entries)
    {
        ArgumentNullException.ThrowIfNull(entries);
        var text = new StringBuilder("| | | reference cases | coordinator + 2 workers |\n|---|---|---|---|\n");
        foreach (var area in Areas)
        {
            var heading = area;
            var features = entries.Where(entry => entry.Feature.Area == area).GroupBy(entry => entry.Feature.Name, StringComparer.Ordinal);
            foreach (var feature in features.Where(feature => feature.All(entry => entry.Passed)).OrderBy(feature => feature.Key, StringComparer.Ordinal))
            {
                text.Append(CultureInfo.InvariantCulture, $"| {heading} | {feature.Key} | {Cases(feature, Evidence.Reference)} | {(Cases(feature, Evidence.Workers) > 0 ? "same SHA-256 as with one" : "")} |\n");
                heading = "";
            }
        }

        return text.ToString();
    }

    /// <summary>A page with its table replaced.</summary>
    /// <exception cref="InvalidDataException">The page has no place for the table.</exception>
    public static string Into(string page, string table)
    {
        ArgumentNullException.ThrowIfNull(page);
        var begin = page.IndexOf(Begin, StringComparison.Ordinal);
        var end = page.IndexOf(End, StringComparison.Ordinal);
        return begin >= 0 && end > begin
            ? $"{page[..(begin + Begin.Length)]}\n\n{table}\n{page[end..]}"
            : throw new InvalidDataException($"The page has no '{Begin}' with '{End}' behind it. Put both lines where the table belongs.");
    }

    private static int Cases(IEnumerable<SupportEntry> entries, Evidence evidence) =>
        entries.Where(entry => entry.Evidence == evidence).Select(entry => entry.Case).Distinct(StringComparer.Ordinal).Count();
}
