using DistTune.Core;

namespace DistTune.Cli.Running;

/// <summary>The folder that the product was built in: the demo and the benchmark use files of it.</summary>
internal static class Repository
{
    private const string Marker = "DistTune.sln";

    /// <summary>A file or folder of the repository by its path from the top.</summary>
    /// <exception cref="DistTuneException">This program does not lie in a repository, or the file is not there.</exception>
    public static string PathOf(string relative)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, Marker)))
            {
                var path = Path.Combine(folder.FullName, relative);
                return Path.Exists(path)
                    ? path
                    : throw new DistTuneException(FaultKind.Failed, $"{path} is missing. Build it with ./disttune setup, or fetch the repository again.");
            }
        }

        throw new DistTuneException(FaultKind.Failed, $"This command uses files of the repository, and none is above {AppContext.BaseDirectory}. Run it as ./disttune in a clone.");
    }
}
