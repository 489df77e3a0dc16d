using System.Collections.Immutable;
using System.Text;

namespace DistTune.Core.Configuration;

/// <summary>Writes a resolved configuration as YAML that reads back the same, with the origin of every value as a comment.</summary>
public static class ConfigYaml
{
    /// <summary>The whole section, one key a line.</summary>
    /// <param name="section">What to write.</param>
    /// <param name="origins">Whether each line closes with <c># origin</c>.</param>
    public static string Write(ResolvedSection section, bool origins = true)
    {
        ArgumentNullException.ThrowIfNull(section);
        var text = new StringBuilder();
        Section(text, section, "", "", origins);
        return text.ToString();
    }

    private static void Section(StringBuilder text, ResolvedSection section, string first, string indent, bool origins)
    {
        var lead = first;
        foreach (var value in section.Values)
        {
            Value(text, value, lead, indent, origins);
            lead = indent;
        }
    }

    private static void Value(StringBuilder text, ResolvedValue value, string lead, string indent, bool origins)
    {
        text.Append(lead).Append(value.Key.Name).Append(':');
        switch (value.Value)
        {
            case ResolvedSection section:
                text.Append('\n');
                Section(text, section, indent + "  ", indent + "  ", origins);
                break;
            case ImmutableArray<ResolvedSection> { IsEmpty: false } sections:
                text.Append('\n');
                foreach (var section in sections)
                {
                    Section(text, section, indent + "  - ", indent + "    ", origins);
                }

                break;
            case ImmutableArray<ResolvedSection>:
                Line(text, "[]", value, origins);
                break;
            case ImmutableArray<string> items when value.Key.Word is { } word && items is [var only] && string.Equals(only, word, StringComparison.Ordinal):
                Line(text, word, value, origins);
                break;
            case ImmutableArray<string> items:
                Line(text, $"[{string.Join(", ", items.Select(item => ScalarText.Write(item)))}]", value, origins);
                break;
            case ImmutableArray<long> items:
                Line(text, $"[{string.Join(", ", items.Select(item => ScalarText.Write(item)))}]", value, origins);
                break;
            case ImmutableArray<KeyValuePair<string, double>> items:
                Line(text, $"{{{string.Join(", ", items.Select(item => $"{ScalarText.Write(item.Key)}: {ScalarText.Write(item.Value)}"))}}}", value, origins);
                break;
            default:
                Line(text, ScalarText.Write(value.Value), value, origins);
                break;
        }
    }

    private static void Line(StringBuilder text, string shown, ResolvedValue value, bool origins)
    {
        text.Append(' ').Append(shown);
        if (origins)
        {
            text.Append("  # ").Append(value.Origin.ToString().ReplaceLineEndings(" "));
        }

        text.Append('\n');
    }
}
