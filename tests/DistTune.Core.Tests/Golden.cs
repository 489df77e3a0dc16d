namespace DistTune.Core.Tests;

/// <summary>Finds the reference data of a clone, and the larger third-party files where a machine has them.</summary>
internal static class Golden
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

    /// <summary>A path within the folder of real tokenizers and weights; the test is skipped where there is none.</summary>
    public static string ThirdParty(params string[] parts)
    {
        var root = Environment.GetEnvironmentVariable("DISTTUNE_THIRDPARTY");
        Assert.SkipWhen(string.IsNullOrEmpty(root), "DISTTUNE_THIRDPARTY is not set; it names the folder of real tokenizers and weights.");
        return System.IO.Path.Combine([root!, .. parts]);
    }
}
