using System.Runtime.InteropServices;

namespace DistTune.Fuzz.Tests;

/// <summary>Files that are no files: opening one for reading may never return.</summary>
internal static partial class SpecialFiles
{
    /// <summary>Makes a named pipe that nobody writes to.</summary>
    public static void MakePipe(string path) => Assert.Equal(0, MakeFifo(path, 0b110_100_100));

    [LibraryImport("libc", EntryPoint = "mkfifo", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MakeFifo(string path, uint mode);
}
