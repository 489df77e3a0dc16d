using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;

namespace DistTune.Core.Formats;

/// <summary>A file mapped read-only into memory. Slices are bounds-checked; reading is safe from any number of threads until disposal.</summary>
internal sealed unsafe partial class MappedFile : IDisposable
{
    private const int NotNeeded = 4;
    private static readonly nint PageBytes = Environment.SystemPageSize;
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _start;
    private bool _disposed;

    private MappedFile(string path, long length, MemoryMappedFile file)
    {
        Path = path;
        Length = length;
        _file = file;
        _view = file.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _start = start + _view.PointerOffset;
    }

    /// <summary>The file's path, for messages.</summary>
    public string Path { get; }

    /// <summary>The file's length in bytes.</summary>
    public long Length { get; }

    /// <summary>Maps a file.</summary>
    /// <exception cref="DistTuneException">The file is missing, unreadable or shorter than <paramref name="minimumLength"/> bytes.</exception>
    public static MappedFile Open(string path, long minimumLength)
    {
        RegularFile.Check(path);
        FileStream stream;
        try
        {
            stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw FileFault.Of(path, $"it cannot be opened ({error.Message})", "Check the path and its permissions.", error);
        }

        try
        {
            var length = stream.Length;
            if (length < Math.Max(1, minimumLength))
            {
                throw FileFault.Of(path, $"it has {length} bytes and must have at least {minimumLength}", "The file is cut short; fetch it again.");
            }

            var file = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            return new MappedFile(path, length, file);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>The bytes [offset, offset + length).</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not within the file.</exception>
    public ReadOnlySpan<byte> Slice(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (offset < 0 || length < 0 || offset > Length - length)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"[{offset}, {offset} + {length}) is not within the {Length} bytes of {Path}.");
        }

        return new ReadOnlySpan<byte>(_start + offset, length);
    }

    /// <summary>
    /// Says that a range will not be read again soon: its pages no longer count as this process' memory. They come back by themselves
    /// when they are read after all.
    /// </summary>
    public void Forget(long offset, long length)
    {
        if (!OperatingSystem.IsLinux() || length < PageBytes)
        {
            return;
        }

        // Whole pages only, and none that a neighbour may be reading.
        var first = (nint)(_start + offset + PageBytes - 1) & ~(PageBytes - 1);
        var end = (nint)(_start + offset + length) & ~(PageBytes - 1);
        if (end > first)
        {
            _ = Advise(first, (nuint)(end - first), NotNeeded);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(nint address, nuint length, int advice);
}
