namespace DistTune.Goldens;

/// <summary>One kind of golden case. Cases are recognised by their content, never by their names.</summary>
public interface IGoldenKind
{
    /// <summary>
    /// The cases in a folder (not below it): the folder's own path if it is one case as a whole, otherwise the files that are a case
    /// each, with the files that belong to it.
    /// </summary>
    IEnumerable<GoldenCase> Find(string folder);

    /// <summary>Runs a case that <see cref="Find"/> found and reports what it compared to <paramref name="meter"/>.</summary>
    /// <exception cref="GoldenUnsupportedException">The case asks for something that the product does not do.</exception>
    Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken);
}

/// <summary>A case that was found.</summary>
/// <param name="Path">The folder or file.</param>
/// <param name="Part">Which part of it, if several cases share the path; empty otherwise.</param>
/// <param name="Files">Files that belong to it, so that they do not count as unknown. A folder's whole content belongs to it anyway.</param>
public sealed record GoldenCase(string Path, string Part, IReadOnlyList<string> Files)
{
    /// <summary>A folder that is one case as a whole.</summary>
    public static GoldenCase OfFolder(string folder, string part = "") => new(folder, part, []);

    /// <summary>A case in a file, with its companions.</summary>
    public static GoldenCase OfFile(string file, params string[] companions) => new(file, "", [file, .. companions]);
}
