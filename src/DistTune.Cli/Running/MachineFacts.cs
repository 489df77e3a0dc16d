using System.Globalization;
using System.Runtime.InteropServices;
using DistTune.Engine;
using TorchSharp;

namespace DistTune.Cli.Running;

/// <summary>What this machine and this build are, for <c>inspect env</c>.</summary>
internal static class MachineFacts
{
    private const double BytesPerGibibyte = 1024.0 * 1024 * 1024;

    /// <summary>Name and value of each fact.</summary>
    public static IReadOnlyList<(string Name, string Value)> Collect()
    {
        var memory = GC.GetGCMemoryInfo();
        return
        [
            ("disttune", WorkerFingerprint.ThisVersion),
            ("os", RuntimeInformation.OSDescription),
            ("dotnet", RuntimeInformation.FrameworkDescription),
            ("cores", Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture)),
            ("memory_gib", (memory.TotalAvailableMemoryBytes / BytesPerGibibyte).ToString("0.0", CultureInfo.InvariantCulture)),
            ("instruction_set", WorkerFingerprint.ThisInstructionSet),
            ("bf16_products", Cores.MultiplyBFloat16 ? "yes" : "no (bf16: auto holds the base in fp32)"),
            ("torchsharp", StandIn(typeof(torch).Assembly)),
            ("libtorch", Libtorch()),
            ("gpu", Gpu()),
        ];
    }

    // A stand-in is built with this product and carries its version; the package carries its own.
    private static string StandIn(System.Reflection.Assembly assembly)
    {
        var version = assembly.GetName().Version?.ToString(3) ?? "?";
        return string.Equals(version, WorkerFingerprint.ThisVersion, StringComparison.Ordinal) ? "stand-in over the system's libtorch" : $"package {version}";
    }

    private static string Libtorch()
    {
        try
        {
            return torch.__version__;
        }
        catch (Exception error) when (error is DllNotFoundException or TypeInitializationException or NotSupportedException)
        {
            return $"cannot be loaded: {error.GetBaseException().Message} Cure: ./disttune setup";
        }
    }

    private static string Gpu()
    {
        try
        {
            return torch.cuda.is_available() ? string.Create(CultureInfo.InvariantCulture, $"{torch.cuda.device_count()} CUDA devices") : "none that libtorch can use";
        }
        catch (Exception error) when (error is DllNotFoundException or TypeInitializationException or NotSupportedException)
        {
            return "unknown: libtorch cannot be loaded";
        }
    }
}
