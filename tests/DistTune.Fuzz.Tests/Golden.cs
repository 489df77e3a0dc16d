namespace DistTune.Fuzz.Tests;

/// <summary>Paths within the repository.</summary>
internal static class Golden
{
    private static readonly string Root = Find();

    /// <summary>The bytes of a file within <c>tests/golden</c>.</summary>
    public static byte[] Bytes(params string[] parts) => File.ReadAllBytes(Path(parts));

    /// <summary>A path within <c>tests/golden</c>.</summary>
    public static string Path(params string[] parts) => System.IO.Path.Combine([Root, "tests", "golden", .. parts]);

    private static string Find()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(System.IO.Path.Combine(folder, "DistTune.sln")))
        {
            folder = System.IO.Path.GetDirectoryName(folder) ?? throw new DirectoryNotFoundException("No folder above the test program holds DistTune.sln.");
        }

        return folder;
    }
}
