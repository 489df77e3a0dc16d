using System.Globalization;
using System.Text;
using System.Text.Json;

namespace DistTune.Core.Tests.Text;

/// <summary>Finds reference numbers in the repository and real tokenizers outside of it.</summary>
internal static class GoldenFiles
{
    internal static string Root { get; } = Path.Combine(RepositoryRoot(), "tests", "golden");

    /// <summary>Folder of real tokenizers and weights, or null.</summary>
    internal static string? ThirdParty { get; } = Environment.GetEnvironmentVariable("DISTTUNE_THIRDPARTY") is { Length: > 0 } folder ? folder : null;

    /// <summary>The same goldens for tokenizers too large to be copied lie in a folder beside the real tokenizers, if at all.</summary>
    internal static string? External(string relative)
    {
        var path = ThirdParty is null ? null : Path.GetFullPath(Path.Combine(ThirdParty, "..", "golden", relative));
        return path is not null && File.Exists(path) ? path : null;
    }

    /// <summary>The records of a JSON Lines file; it is split on <c>\n</c> only.</summary>
    internal static IEnumerable<JsonElement> Records(string path) =>
        File.ReadAllText(path, Encoding.UTF8).Split('\n').Where(line => line.Length > 0).Select(line => JsonElement.Parse(line));

    internal static int[] Ints(this JsonElement element) => element.EnumerateArray().Select(item => item.GetInt32()).ToArray();

    internal static string Text(this JsonElement element, string name) => element.GetProperty(name).GetString()!;

    /// <summary>Runs an action under a culture whose casing and number format differ from the invariant ones.</summary>
    internal static T UnderTurkishCulture<T>(Func<T> action)
    {
        var culture = CultureInfo.CurrentCulture;
        try
        {
            CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo("tr-TR");
            return action();
        }
        finally
        {
            CultureInfo.CurrentCulture = culture;
        }
    }

    private static string RepositoryRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "DistTune.sln")))
            {
                return folder.FullName;
            }
        }

        throw new DirectoryNotFoundException($"DistTune.sln is in no folder above {AppContext.BaseDirectory}.");
    }
}
