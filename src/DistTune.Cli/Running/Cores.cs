using DistTune.Core;
using DistTune.Engine;

namespace DistTune.Cli.Running;

/// <summary>How this machine's cores are shared out, and what they can do.</summary>
/// <param name="Workers">Workers.</param>
/// <param name="ThreadsPerWorker">Threads of each.</param>
internal sealed record Cores(int Workers, int ThreadsPerWorker)
{
    /// <summary>Whether the processor multiplies bfloat16 itself; elsewhere a bfloat16 base saves memory but no time.</summary>
    public static bool MultiplyBFloat16 => Processor.MultipliesBFloat16;

    /// <summary>All cores, shared out evenly unless told otherwise.</summary>
    /// <exception cref="DistTuneException">A number is out of range.</exception>
    public static Cores Share(int? workers, int? threadsPerWorker)
    {
        var count = workers ?? 1;
        if (count is < 1 or > 256 || threadsPerWorker is < 1 or > 1024)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"--workers must be in 1..256 and --threads-per-worker in 1..1024, got {count} and {threadsPerWorker ?? 0}."));
        }

        return new Cores(count, threadsPerWorker ?? Math.Max(1, Environment.ProcessorCount / count));
    }
}
