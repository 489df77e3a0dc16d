using System.Runtime.InteropServices;

namespace DistTune.Core.Memory;

/// <summary>
/// How the C library hands out tensors. Its arenas grow by heaps of 64 MiB, into which tensors of many megabytes fit badly, and what they
/// leave unused is never the same twice; one that is mapped by itself takes what it needs and is given back as soon as it is freed.
/// </summary>
public static partial class NativeHeap
{
    /// <summary>
    /// Bytes from which a tensor is mapped by itself. At a quarter of it the demo took a tenth longer, for page faults.
    /// </summary>
    internal const int LeastMapped = 1 << 20;

    // M_MMAP_THRESHOLD of glibc's malloc.h. Set, it no longer adapts to what was freed, which would take it up to 32 MiB.
    private const int MappingThreshold = -3;

    /// <summary>
    /// Has large tensors mapped each by itself from now on, in all threads of this process; where the environment sets
    /// <c>MALLOC_MMAP_THRESHOLD_</c>, that holds. Only Linux's allocator is told.
    /// </summary>
    public static void MapLargeTensors()
    {
        if (OperatingSystem.IsLinux() && Environment.GetEnvironmentVariable("MALLOC_MMAP_THRESHOLD_") is null)
        {
            try
            {
                // Refused by an allocator that someone put before glibc's; then memory is what that makes of it.
                _ = Set(MappingThreshold, LeastMapped);
            }
            catch (EntryPointNotFoundException)
            {
                // musl's allocator has no such setting.
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int Set(int parameter, int value);
}
