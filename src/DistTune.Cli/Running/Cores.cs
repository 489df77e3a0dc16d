using System.Runtime.Intrinsics.X86;
using DistTune.Core;

namespace DistTune.Cli.Running;

/// <summary>How this machine's cores are shared out, and what they can do.</summary>
/// <param name="Workers">Workers.</param>
/// <param name="ThreadsPerWorker">Threads of each.</param>
internal sealed record Cores(int Workers, int ThreadsPerWorker)
{
    private const int Leaf7 = 7;
    private const int Avx512BFloat16Bit = 5;
    private const int AmxBFloat16Bit = 22;

    /// <summary>Whether the processor multiplies bfloat16 itself; elsewhere a bfloat16 base saves memory but no time.</summary>
    public static bool MultiplyBFloat16 { get; } = HasBFloat16();

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

    private static bool HasBFloat16()
    {
        if (!X86Base.IsSupported || X86Base.CpuId(0, 0).Eax < Leaf7)
        {
            return false;
        }

        return (X86Base.CpuId(Leaf7, 1).Eax & (1 << Avx512BFloat16Bit)) != 0 || (X86Base.CpuId(Leaf7, 0).Edx & (1 << AmxBFloat16Bit)) != 0;
    }
}
