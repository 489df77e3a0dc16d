namespace DistTune.Goldens.Support;

/// <summary>Keeps the README's table what the tests say.</summary>
internal static class Readme
{
    /// <summary>Writes the table, or says whether it is stale.</summary>
    /// <param name="log">The support log of a test run.</param>
    /// <param name="page">The page with the table.</param>
    /// <param name="write">Whether to write; otherwise only to compare.</param>
    /// <returns>The exit code.</returns>
    public static int Update(string log, string page, bool write)
    {
        var before = File.ReadAllText(page);
        var after = SupportTable.Into(before, SupportTable.Render(SupportLog.Read(log)));
        if (before == after)
        {
            return 0;
        }

        if (!write)
        {
            Console.Error.WriteLine($"The support table in {page} is not what the tests just showed. Write it anew: ./disttune test --write-support");
            return 1;
        }

        File.WriteAllText(page, after);
        Console.Out.WriteLine($"The support table in {page} is written anew.");
        return 0;
    }
}
