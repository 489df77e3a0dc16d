using System.Collections.Immutable;
using System.Globalization;
using System.Xml.Linq;

namespace DistTune.FaultTable;

/// <summary>How a test that ran ended.</summary>
internal enum CaseEnd
{
    Passed,
    Failed,
    Skipped,
}

/// <summary>One test of a report.</summary>
/// <param name="Name">Class and method without the namespace, such as <c>WorkerRows.SIGTERM</c>.</param>
/// <param name="Arguments">A theory's arguments as they are displayed; empty for a fact.</param>
/// <param name="End">How it ended.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="Said">What it says of itself: the notes it left, or why it was skipped.</param>
internal sealed record TestCase(string Name, string Arguments, CaseEnd End, double Seconds, ImmutableArray<string> Said)
{
    /// <summary>Reads every report of a folder.</summary>
    public static ImmutableArray<TestCase> ReadReports(string folder) =>
        [.. Directory.EnumerateFiles(folder, "*.xml").Order(StringComparer.Ordinal).SelectMany(path => XDocument.Load(path).Descendants("test")).Select(Read).OfType<TestCase>()];

    /// <summary>Whether a test of the table means this one.</summary>
    public bool Is(string test) => test.IndexOf('(', StringComparison.Ordinal) is > 0 and var open
        ? Name == test[..open] && Arguments.Contains(test[(open + 1)..^1], StringComparison.Ordinal)
        : Name == test;

    private static TestCase? Read(XElement test)
    {
        CaseEnd? end = (string?)test.Attribute("result") switch
        {
            "Pass" => CaseEnd.Passed,
            "Fail" => CaseEnd.Failed,
            "Skip" => CaseEnd.Skipped,
            _ => null,
        };
        if (end is null)
        {
            return null;
        }

        var display = (string?)test.Attribute("name") ?? "";
        var type = (string?)test.Attribute("type") ?? "";
        var open = display.IndexOf('(', StringComparison.Ordinal);
        return new TestCase(
            $"{type[(type.LastIndexOf('.') + 1)..]}.{(string?)test.Attribute("method")}",
            open < 0 ? "" : display[(open + 1)..^1],
            end.Value,
            double.Parse((string?)test.Attribute("time") ?? "0", CultureInfo.InvariantCulture),
            end == CaseEnd.Skipped ? [$"skipped: {((string?)test.Element("reason"))?.Trim()}"] : [.. Notes((string?)test.Element("output") ?? "")]);
    }

    private static IEnumerable<string> Notes(string output) =>
        output.Split('\n').Where(line => line.StartsWith(RowResult.NotePrefix, StringComparison.Ordinal)).Select(line => line[RowResult.NotePrefix.Length..].Trim());
}
