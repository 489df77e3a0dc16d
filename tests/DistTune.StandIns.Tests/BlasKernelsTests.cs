using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using static TorchSharp.torch;

namespace DistTune.StandIns.Tests;

/// <summary>What OpenBLAS multiplies with, where it is what multiplies.</summary>
public sealed partial class BlasKernelsTests
{
    [Fact]
    public void Products_take_the_kernels_of_what_the_processor_can_do_whatever_its_model()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The choice is made on Linux alone.");
        Assert.SkipUnless(Avx2.IsSupported && Fma.IsSupported, "The oldest kernels are right for this processor.");
        // As the process was started: the choice itself comes later.
        Assert.SkipWhen(File.ReadAllText("/proc/self/environ").Contains("OPENBLAS_CORETYPE=", StringComparison.Ordinal), "The environment chooses the kernels.");
        using var product = ones(2, 2).mm(ones(2, 2));
        Assert.SkipUnless(File.ReadAllText("/proc/self/maps").Contains("libopenblas", StringComparison.Ordinal), "OpenBLAS is not what multiplies.");

        var name = Marshal.PtrToStringUTF8(CoreName());

        Assert.Contains(name, (string[])(Avx512F.VL.IsSupported ? ["SkylakeX"] : ["Haswell", "Zen"]));
    }

    [LibraryImport("libopenblas.so.0", EntryPoint = "openblas_get_corename")]
    private static partial nint CoreName();
}
