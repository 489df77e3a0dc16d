namespace DistTune.Core.Formats;

/// <summary>
/// Keeps what a foreign file names within the folder it lies in. A link may lead elsewhere only within Hugging Face's own cache, whose
/// <c>snapshots/REVISION/</c> holds links into <c>blobs/</c> beside it.
/// </summary>
internal static class ConfinedFile
{
    private const string Snapshots = "snapshots";
    private const string Blobs = "blobs";

    /// <summary>The path of a plain file name within a folder.</summary>
    /// <param name="folder">The folder of the foreign file, as a full path.</param>
    /// <param name="name">A file name without separators; the caller has checked that.</param>
    /// <param name="namedBy">The foreign file or folder, for messages.</param>
    /// <exception cref="DistTuneException">It is a link that leads out of the folder.</exception>
    public static string Within(string folder, string name, string namedBy)
    {
        var path = Path.Combine(folder, name);
        string? target;
        try
        {
            // The folder may be a link itself, which is the user's own: what its files lead to counts from where it is.
            folder = Path.TrimEndingDirectorySeparator(folder);
            folder = new DirectoryInfo(folder).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? folder;
            target = new FileInfo(Path.Combine(folder, name)).ResolveLinkTarget(returnFinalTarget: true)?.FullName;
        }
        catch (IOException error)
        {
            throw FileFault.Of(path, $"the link cannot be followed ({error.Message})", "Fetch the model again.", error);
        }

        return target is null || Holds(folder, target) || (CacheOf(folder) is { } blobs && Holds(blobs, target))
            ? path
            : throw FileFault.Of(
                namedBy,
                $"it has '{name}', a link out of its folder (to {target})",
                "Put the file itself there; only links within the folder and those of Hugging Face's cache are followed.");
    }

    private static bool Holds(string folder, string path) =>
        path.StartsWith(Path.TrimEndingDirectorySeparator(folder) + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    private static string? CacheOf(string folder) =>
        Directory.GetParent(folder) is { Name: Snapshots, Parent: { } repository } ? Path.Combine(repository.FullName, Blobs) : null;
}
