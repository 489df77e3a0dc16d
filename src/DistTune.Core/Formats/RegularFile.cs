using System.Runtime.InteropServices;

namespace DistTune.Core.Formats;

/// <summary>
/// Refuses what only looks like a file. Opening a named pipe may never return and a device never ends, so both are told apart before
/// they are opened. Links are followed: what counts is where they lead.
/// </summary>
public static partial class RegularFile
{
    private const int CurrentFolder = -100;
    private const uint TypeOnly = 1;
    private const int TypeBits = 0xF000;
    private const int Regular = 0x8000;
    private const int Folder = 0x4000;

    /// <summary>Lets regular files through, and whatever does not exist: opening it says so better.</summary>
    /// <exception cref="DistTuneException">There is a folder, a device, a pipe or a socket at the path.</exception>
    public static void Check(string path)
    {
        if (!OperatingSystem.IsLinux() || StatX(CurrentFolder, path, 0, TypeOnly, out var status) != 0)
        {
            return;
        }

        switch (status.Mode & TypeBits)
        {
            case Regular:
                break;
            case Folder:
                throw FileFault.Of(path, "it is a folder, and a file is expected", "Name a file within it.");
            default:
                throw FileFault.Of(path, "it is a device, a pipe or a socket; only regular files are read", "Name a regular file.");
        }
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int StatX(int folder, string path, int flags, uint mask, out Status status);

    // struct statx is the same on every architecture, unlike struct stat.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct Status
    {
        [FieldOffset(28)]
        public ushort Mode;
    }
}
