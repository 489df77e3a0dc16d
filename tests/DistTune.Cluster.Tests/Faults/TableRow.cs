namespace DistTune.Cluster.Tests.Faults;

/// <summary>What a test of the fault table leaves to be shown below its row; <c>DistTune.FaultTable</c> passes lines with this prefix on.</summary>
internal static class TableRow
{
    private const string Prefix = "note: ";

    /// <summary>Says that a row held.</summary>
    /// <param name="inject">What was done to the run.</param>
    /// <param name="happened">What came of it.</param>
    public static void Held(string inject, string happened) => TestContext.Current.TestOutputHelper?.WriteLine($"{Prefix}{inject} -> {happened}");
}
