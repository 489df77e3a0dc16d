using System.Runtime.InteropServices;
using DistTune.Core.Formats;
using Microsoft.Win32.SafeHandles;

namespace DistTune.Engine.Storage;

/// <summary>A folder of the file system.</summary>
public sealed partial class FolderStorage : IRunStorage
{
    private readonly string _root;

    /// <summary>Opens the folder; it is made if it is missing.</summary>
    public FolderStorage(string root)
    {
        _root = Path.GetFullPath(root);
        Directory.CreateDirectory(_root);
    }

    /// <inheritdoc />
    public string Describe(string path) => Full(path);

    /// <inheritdoc />
    public bool Exists(string path) => File.Exists(Full(path));

    /// <inheritdoc />
    public IReadOnlyList<string> List(string folder) =>
        Directory.Exists(Full(folder))
            ? [.. Directory.EnumerateFileSystemEntries(Full(folder)).Select(entry => Path.GetFileName(entry)!).Order(StringComparer.Ordinal)]
            : [];

    /// <inheritdoc />
    public IStorageFile Open(string path)
    {
        RegularFile.Check(Full(path));
        return new FolderFile(File.OpenHandle(Full(path), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete));
    }

    /// <inheritdoc />
    public void CreateFolder(string path) => Directory.CreateDirectory(Full(path));

    /// <inheritdoc />
    public void Rename(string from, string to) => Directory.Move(Full(from), Full(to));

    /// <inheritdoc />
    public void Delete(string path)
    {
        if (Directory.Exists(Full(path)))
        {
            Directory.Delete(Full(path), recursive: true);
        }
        else
        {
            File.Delete(Full(path));
        }
    }

    /// <inheritdoc />
    public void FlushFolder(string path) => AtomicFile.FlushFolder(Full(path));

    /// <inheritdoc />
    public IDisposable? TryLock(string path)
    {
        RegularFile.Check(Full(path));
        try
        {
            // An advisory lock of the kernel, which ends with the process however it ends. The file itself means nothing and stays.
            return new FileStream(Full(path), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException) when (File.Exists(Full(path)))
        {
            return null;
        }
    }

    private string Full(string path) => path.Length == 0 ? _root : Path.Combine(_root, path);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FlushData(SafeFileHandle descriptor);

    [LibraryImport("libc", EntryPoint = "sync_file_range", SetLastError = true)]
    private static partial int BeginWriting(SafeFileHandle descriptor, long offset, long length, uint flags);

    private sealed class FolderFile(SafeFileHandle handle) : IStorageFile
    {
        public long Length => RandomAccess.GetLength(handle);

        public int Read(long offset, Span<byte> buffer)
        {
            var total = 0;
            while (total < buffer.Length && RandomAccess.Read(handle, buffer[total..], offset + total) is > 0 and var count)
            {
                total += count;
            }

            return total;
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes) => RandomAccess.Write(handle, bytes, offset);

        public void BeginFlush(long offset, long length)
        {
            // What goes wrong here goes wrong in the flush as well, which says so.
            const uint Write = 2;
            if (OperatingSystem.IsLinux())
            {
                _ = BeginWriting(handle, offset, length, Write);
            }
        }

        public void SetLength(long length) => RandomAccess.SetLength(handle, length);

        public void Flush()
        {
            if (!OperatingSystem.IsLinux())
            {
                RandomAccess.FlushToDisk(handle);
                return;
            }

            // Bytes and length, but not the time of the last change: where nothing grows that saves the file system's own journal.
            if (FlushData(handle) != 0)
            {
                throw new IOException(FormattableString.Invariant($"The file cannot be flushed (errno {Marshal.GetLastPInvokeError()})."));
            }
        }

        public void Dispose() => handle.Dispose();
    }
}
