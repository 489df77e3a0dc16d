using System.Collections.Immutable;

namespace DistTune.FaultTable;

/// <summary>What the tests of a row showed.</summary>
internal sealed record RowResult(FaultRow Row, ImmutableArray<TestCase> Cases, ImmutableArray<string> Missing)
{
    /// <summary>A line of a test's output that begins so is shown below its row.</summary>
    public const string NotePrefix = "note: ";

    /// <summary>Whether every test of the row ran and none failed.</summary>
    public bool Passed => Missing.IsEmpty && !Failed;

    private bool Failed => Cases.Any(one => one.End == CaseEnd.Failed);

    /// <summary>Finds a row's tests among those that ran.</summary>
    public static RowResult Of(FaultRow row, ImmutableArray<TestCase> cases)
    {
        // A test of which every case was skipped has shown nothing.
        var missing = row.Tests.Where(test => !cases.Any(one => one.End != CaseEnd.Skipped && one.Is(test)));
        return new RowResult(row, [.. cases.Where(one => row.Tests.Any(one.Is))], [.. missing]);
    }

    /// <summary>The row's line, and below it what there is to say of it.</summary>
    public IEnumerable<string> Lines()
    {
        var end = Failed ? "failed" : Passed ? "passed" : "not run";
        yield return FormattableString.Invariant($"row: {Row.Name} … {end} ({Cases.Sum(one => one.Seconds):0.0} s)");
        foreach (var line in Cases.SelectMany(one => one.Said).Distinct(StringComparer.Ordinal))
        {
            yield return $"       {line}";
        }

        foreach (var failed in Cases.Where(one => one.End == CaseEnd.Failed))
        {
            yield return $"       failed: {failed.Name}({failed.Arguments})";
        }

        foreach (var test in Missing)
        {
            yield return $"       did not run: {test}";
        }
    }
}
