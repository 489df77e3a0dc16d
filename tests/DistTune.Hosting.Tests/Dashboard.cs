using System.Text.Json;
using System.Text.RegularExpressions;

namespace DistTune.Hosting.Tests;

/// <summary>The Grafana dashboard.</summary>
internal static partial class Dashboard
{
    public static string Path { get; } = Repository.PathOf("k8s", "monitoring", "disttune-run.json");

    /// <summary>Title and query of every panel.</summary>
    public static IReadOnlyList<(string Panel, string Query)> Queries()
    {
        using var dashboard = JsonDocument.Parse(File.ReadAllText(Path));
        return
        [
            .. dashboard.RootElement.GetProperty("panels").EnumerateArray().SelectMany(panel => panel.GetProperty("targets").EnumerateArray()
                .Select(target => (panel.GetProperty("title").GetString()!, target.GetProperty("expr").GetString()!))),
        ];
    }

    /// <summary>The metrics that the panels and variables ask for.</summary>
    public static IReadOnlyCollection<string> Metrics() =>
        [.. Metric().Matches(File.ReadAllText(Path)).Select(match => match.Value).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    [GeneratedRegex(@"\b(disttune|dotnet|http|hw)_[a-z_]+\b")]
    private static partial Regex Metric();
}
