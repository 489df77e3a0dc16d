using System.Reflection;

namespace DistTune.Hosting.Tests;

/// <summary>Where things are in the repository, and how this test was built.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    /// <summary>Folder of a project's build output, in this test's own configuration.</summary>
    public static string OutputOf(string project) =>
        Path.Combine(new DirectoryInfo(AppContext.BaseDirectory).Parent!.Parent!.FullName, project, new DirectoryInfo(AppContext.BaseDirectory).Name);

    public static string PathOf(params string[] parts) => Path.Combine([Root, .. parts]);

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "DistTune.sln")))
            {
                return folder.FullName;
            }
        }

        // Built to a folder outside: the project's own folder was written into the assembly.
        var project = typeof(Repository).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(entry => entry.Key == "AppHostProjectPath").Value!;
        return Path.GetFullPath(Path.Combine(project, "..", ".."));
    }
}
