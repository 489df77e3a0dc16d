using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace TorchSharp.Interop;

/// <summary>
/// Which kernels OpenBLAS multiplies with. It goes by the processor's model number, and on one that is younger than itself it falls back to
/// those of 2004, which take five times as long; what the processor can do tells more than its number.
/// </summary>
internal static partial class BlasKernels
{
    private const string Variable = "OPENBLAS_CORETYPE";

    /// <summary>Chooses for this process and those that it starts, before libtorch is loaded; what the environment says holds.</summary>
    internal static void Choose()
    {
        if (OperatingSystem.IsLinux() && Environment.GetEnvironmentVariable(Variable) is null && Name is { } name)
        {
            // .NET keeps an environment of its own, which only what it starts gets to see.
            Environment.SetEnvironmentVariable(Variable, name);
            _ = SetEnvironment(Variable, name, overwrite: 0);
        }
    }

    // The names are those of OpenBLAS' kernels for x86-64. Without AVX2 it is left to itself: what it falls back to is right there.
    private static string? Name =>
        Avx512F.VL.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported && Avx512CD.IsSupported ? "SkylakeX"
        : Avx2.IsSupported && Fma.IsSupported ? IsAmd ? "Zen" : "Haswell"
        : null;

    // The vendor's twelve letters come in ebx, edx, ecx.
    private static bool IsAmd => X86Base.CpuId(0, 0) is (_, 0x68747541, 0x444D4163, 0x69746E65);

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
