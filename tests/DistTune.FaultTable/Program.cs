using DistTune.FaultTable;

// DistTune.FaultTable REPORTS [TABLE]: a line for each row of the fault table, from the XML reports of the test programs.
// Exit 0 if every row's tests ran and passed, 1 if not, 2 if that can't be said.
if (args is not [var reports, .. var rest] || rest.Length > 1)
{
    Console.Error.WriteLine("Usage: DistTune.FaultTable REPORTS [TABLE]");
    return 2;
}

try
{
    var rows = FaultRow.ReadTable(rest is [var table] ? table : Path.Combine(AppContext.BaseDirectory, "fault-table.json"));
    var cases = TestCase.ReadReports(reports);
    var results = rows.Select(row => RowResult.Of(row, cases)).ToList();
    foreach (var line in results.SelectMany(result => result.Lines()))
    {
        Console.WriteLine(line);
    }

    var passed = results.Count(result => result.Passed);
    Console.WriteLine(FormattableString.Invariant($"{passed} of {results.Count} rows passed"));
    return passed == results.Count ? 0 : 1;
}
catch (Exception fault) when (fault is IOException or InvalidDataException or System.Text.Json.JsonException or System.Xml.XmlException)
{
    Console.Error.WriteLine(fault.Message);
    return 2;
}
