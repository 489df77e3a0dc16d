using System.Collections.Concurrent;

namespace DistTune.Coordinator;

/// <summary>The highest resident memory of every process of the run, as the workers report it.</summary>
internal sealed class MemoryTally
{
    private readonly ConcurrentDictionary<string, long> _peaks = new(StringComparer.Ordinal);

    /// <summary>Sum of the workers' peaks and this process's own.</summary>
    public long TotalBytes
    {
        get
        {
            using var self = System.Diagnostics.Process.GetCurrentProcess();
            return self.PeakWorkingSet64 + _peaks.Values.Sum();
        }
    }

    public void Report(string worker, long peakBytes) => _peaks.AddOrUpdate(worker, peakBytes, (_, known) => Math.Max(known, peakBytes));
}
