using System.Runtime.InteropServices;
using System.Text;

namespace DistTune.Core.Formats;

/// <summary>
/// Writes files that are either the old one or the new one, whole, even if power fails: temporary name, fsync, rename, fsync of the folder.
/// </summary>
public static partial class AtomicFile
{
    private const string TemporarySuffix = ".tmp";
    private const int OpenReadOnly = 0;

    /// <summary>Writes a file by a callback that gets a stream; the folder is created if it is missing.</summary>
    /// <param name="path">The final path.</param>
    /// <param name="write">Writes the content.</param>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(write);
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        Directory.CreateDirectory(folder);
        var temporary = path + TemporarySuffix;
        try
        {
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        FlushFolder(folder);
    }

    /// <summary>Writes text as UTF-8 without a byte-order mark.</summary>
    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    /// <summary>
    /// Writes a folder's files beside their final place, lets <paramref name="verify"/> read them there, then publishes them: a new folder
    /// by one rename, an existing one file by file. Files of the folder that are not written again stay.
    /// </summary>
    /// <param name="folder">The final folder.</param>
    /// <param name="write">Writes every file into the folder it is given.</param>
    /// <param name="verify">Reads the written folder back and throws if it is not right.</param>
    public static void WriteFolder(string folder, Action<string> write, Action<string> verify)
    {
        ArgumentNullException.ThrowIfNull(write);
        ArgumentNullException.ThrowIfNull(verify);
        folder = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        var parent = Path.GetDirectoryName(folder) ?? throw new ArgumentException("The root folder cannot be written as a whole.", nameof(folder));
        Directory.CreateDirectory(parent);
        var staging = folder + TemporarySuffix;
        DeleteFolder(staging);
        Directory.CreateDirectory(staging);
        try
        {
            write(staging);
            verify(staging);
            Publish(staging, folder);
        }
        finally
        {
            DeleteFolder(staging);
        }

        FlushFolder(parent);
    }

    /// <summary>Makes the names within a folder durable. Does nothing on Windows, which has no such call.</summary>
    public static void FlushFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        var descriptor = OpenDescriptor(folder, OpenReadOnly);
        if (descriptor < 0)
        {
            throw new IOException($"The folder '{folder}' cannot be opened to flush it (errno {Marshal.GetLastPInvokeError()}).");
        }

        var result = FlushDescriptor(descriptor);
        var error = Marshal.GetLastPInvokeError();
        _ = CloseDescriptor(descriptor);
        if (result != 0)
        {
            throw new IOException($"The folder '{folder}' cannot be flushed (errno {error}).");
        }
    }

    private static void Publish(string staging, string folder)
    {
        if (!Directory.Exists(folder))
        {
            Directory.Move(staging, folder);
            return;
        }

        foreach (var file in Directory.GetFiles(staging).Order(StringComparer.Ordinal))
        {
            File.Move(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
        }

        FlushFolder(folder);
    }

    private static void DeleteFolder(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenDescriptor(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FlushDescriptor(int descriptor);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int CloseDescriptor(int descriptor);
}
