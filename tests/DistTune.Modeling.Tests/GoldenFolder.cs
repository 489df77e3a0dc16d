namespace DistTune.Modeling.Tests;

/// <summary>Finds the reference data of a clone.</summary>
internal static class GoldenFolder
{
    /// <summary>A path within <c>tests/golden</c>.</summary>
    public static string Path(params string[] parts)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "DistTune.sln")))
            {
                return System.IO.Path.Combine([folder.FullName, "tests", "golden", .. parts]);
            }
        }

        throw new InvalidOperationException($"No folder above '{AppContext.BaseDirectory}' holds DistTune.sln.");
    }
}
