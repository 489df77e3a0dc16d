using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.FaultTable;

/// <summary>A row of the fault table: what is injected, and the tests that prove what must come of it.</summary>
/// <param name="Name">What is injected.</param>
/// <param name="Tests">Each <c>Class.Method</c>, or <c>Class.Method(text)</c> for the cases of a theory whose arguments contain the text.</param>
internal sealed record FaultRow(string Name, ImmutableArray<string> Tests)
{
    /// <summary>Reads the table.</summary>
    /// <exception cref="InvalidDataException">A row has no name, no test, or a name that is taken.</exception>
    public static ImmutableArray<FaultRow> ReadTable(string path)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(path));
        var rows = document.RootElement.GetProperty("rows").EnumerateArray()
            .Select(row => new FaultRow(row.GetProperty("row").GetString()!, [.. row.GetProperty("tests").EnumerateArray().Select(test => test.GetString()!)]))
            .ToImmutableArray();
        var names = new HashSet<string>(StringComparer.Ordinal);
        return rows.FirstOrDefault(row => row.Name.Length == 0 || row.Tests.IsEmpty || !names.Add(row.Name)) is { } wrong
            ? throw new InvalidDataException($"{path}: the row '{wrong.Name}' needs a name of its own and at least one test.")
            : rows;
    }
}
