namespace DistTune.Cluster.Tests.Faults;

/// <summary>The line that a row of the fault table leaves in the output of the tests; <c>disttune test</c> passes lines with this prefix on.</summary>
internal static class TableRow
{
    private const string Prefix = "row: ";

    /// <summary>Says that a row held.</summary>
    /// <param name="inject">What was done to the run.</param>
    /// <param name="happened">What came of it.</param>
    public static void Held(string inject, string happened) => Console.WriteLine($"{Prefix}{inject} -> {happened} (ok)");
}
