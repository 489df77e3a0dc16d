using System.Reflection;
using System.Runtime.Loader;

namespace DistTune.StandIns.Tests;

/// <summary>Where the stand-ins' sources, builds and API lists are.</summary>
internal static class StandInFolder
{
    public static string Repository { get; } = FindRepository();

    public static IEnumerable<string> Names =>
        Directory.EnumerateDirectories(Path.Combine(Repository, "src", "standins"))
            .Where(folder => Directory.EnumerateFiles(folder, "*.csproj").Any())
            .Select(folder => Path.GetFileName(folder)!)
            .Order(StringComparer.Ordinal);

    public static string ListOf(string name) => Path.Combine(Repository, "tests", "api", name + ".txt");

    /// <summary>The stand-in's assembly, built in this test's own configuration.</summary>
    public static string AssemblyOf(string name)
    {
        var configuration = Path.GetFileName(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        return Path.Combine(Repository, "artifacts", "bin", name, configuration, name + ".dll");
    }

    private static string FindRepository()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "DistTune.sln")))
                return folder.FullName;
        }
        throw new DirectoryNotFoundException($"No folder above {AppContext.BaseDirectory} holds DistTune.sln.");
    }
}

/// <summary>Loads stand-ins apart from the packages of the same name that this test may be running with.</summary>
internal sealed class StandInLoadContext() : AssemblyLoadContext("stand-ins", isCollectible: true)
{
    protected override Assembly? Load(AssemblyName name)
    {
        var path = StandInFolder.AssemblyOf(name.Name!);
        return File.Exists(path) && StandInFolder.Names.Contains(name.Name, StringComparer.Ordinal) ? LoadFromAssemblyPath(path) : null;
    }
}
