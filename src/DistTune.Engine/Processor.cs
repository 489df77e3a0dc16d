using System.Runtime.Intrinsics.X86;

namespace DistTune.Engine;

/// <summary>What this machine's processor can do.</summary>
public static class Processor
{
    private const int FeatureLeaf = 7;
    private const int Avx512BFloat16Bit = 5;
    private const int AmxBFloat16Bit = 22;

    /// <summary>
    /// Whether it multiplies bfloat16 itself (AVX-512 BF16 or AMX): what <c>bf16: auto</c> follows. Elsewhere a bfloat16 base saves memory
    /// but no time.
    /// </summary>
    public static bool MultipliesBFloat16 { get; } = HasBFloat16();

    private static bool HasBFloat16()
    {
        if (!X86Base.IsSupported || X86Base.CpuId(0, 0).Eax < FeatureLeaf)
        {
            return false;
        }

        return (X86Base.CpuId(FeatureLeaf, 1).Eax & (1 << Avx512BFloat16Bit)) != 0 || (X86Base.CpuId(FeatureLeaf, 0).Edx & (1 << AmxBFloat16Bit)) != 0;
    }
}
