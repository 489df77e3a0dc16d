using System.Diagnostics;

namespace DistTune.Worker;

/// <summary>This process's memory, native allocations included.</summary>
internal static class ProcessMemory
{
    /// <summary>Highest resident size so far.</summary>
    public static long PeakBytes
    {
        get
        {
            using var self = Process.GetCurrentProcess();
            return self.PeakWorkingSet64;
        }
    }
}
