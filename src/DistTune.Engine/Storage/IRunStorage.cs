namespace DistTune.Engine.Storage;

/// <summary>
/// The files of one run's folder. Paths are relative, with <c>/</c>. Nothing is durable before it is flushed: a file's bytes by
/// <see cref="IStorageFile.Flush"/>, a name by <see cref="FlushFolder"/> of the folder it stands in. Every member may throw
/// <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>.
/// </summary>
public interface IRunStorage
{
    /// <summary>The path as a person finds it.</summary>
    string Describe(string path);

    /// <summary>Whether there is a file of that name.</summary>
    bool Exists(string path);

    /// <summary>Names of what stands in a folder, in ordinal order; none if there is no such folder.</summary>
    IReadOnlyList<string> List(string folder);

    /// <summary>Opens a file for reading and writing; makes an empty one if it is missing.</summary>
    IStorageFile Open(string path);

    /// <summary>Makes a folder, if it is missing.</summary>
    void CreateFolder(string path);

    /// <summary>Renames a folder; there must be none of the new name.</summary>
    void Rename(string from, string to);

    /// <summary>Deletes a file, or a folder with everything in it; nothing happens if it is missing.</summary>
    void Delete(string path);

    /// <summary>Makes the names in a folder durable.</summary>
    void FlushFolder(string path);

    /// <summary>Takes an exclusive lock that ends with this process at the latest, or returns null if somebody holds it.</summary>
    IDisposable? TryLock(string path);
}

/// <summary>An open file. Reading and writing at different places may overlap in time.</summary>
public interface IStorageFile : IDisposable
{
    /// <summary>Length in bytes.</summary>
    long Length { get; }

    /// <summary>Reads until the buffer is full or the file ends, and says how much it was.</summary>
    int Read(long offset, Span<byte> buffer);

    /// <summary>Writes all bytes at a place; the file grows as needed.</summary>
    void Write(long offset, ReadOnlySpan<byte> bytes);

    /// <summary>Cuts off or extends by zeros.</summary>
    void SetLength(long length);

    /// <summary>Has the bytes of a place on their way to the disk, so that a flush has less to wait for; promises nothing.</summary>
    void BeginFlush(long offset, long length)
    {
    }

    /// <summary>Makes bytes and length durable. After it has thrown once, what is durable is unknown: never flush again, read anew.</summary>
    void Flush();
}
