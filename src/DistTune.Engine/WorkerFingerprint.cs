using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace DistTune.Engine;

/// <summary>What must be the same on all workers of a run for their results to be the same bits.</summary>
/// <param name="ProductVersion">Version of the worker.</param>
/// <param name="InstructionSet">Processor architecture, its widest vector instructions, and whether it multiplies bfloat16 itself.</param>
/// <param name="ComputeLibrary">Name and version of what computes, such as <c>libtorch 1.13.1</c>.</param>
/// <param name="BaseSha256">SHA-256 of the base the worker holds.</param>
public sealed record WorkerFingerprint(string ProductVersion, string InstructionSet, string ComputeLibrary, string BaseSha256)
{
    private const string BFloat16 = "-bf16";

    /// <summary>SHA-256 that the canary of each run comes to (<see cref="Canary"/>), by the run's id.</summary>
    public ImmutableDictionary<string, string> Canaries { get; init; } = ImmutableDictionary.Create<string, string>(StringComparer.Ordinal);

    /// <summary>Version of this build.</summary>
    public static string ThisVersion { get; } = typeof(WorkerFingerprint).Assembly.GetName().Version?.ToString(3) ?? "0.0.0";

    /// <summary>This process's architecture and instructions, such as <c>x64-avx512-bf16</c>.</summary>
    public static string ThisInstructionSet { get; } = DescribeInstructionSet();

    /// <summary>The fingerprint of a computer in this process.</summary>
    public static WorkerFingerprint Of(string computeLibrary, string baseSha256) =>
        new(ThisVersion, ThisInstructionSet, computeLibrary, baseSha256);

    /// <summary>Why a worker with this fingerprint may not join workers with the other one, or null if it may. Canaries are not looked at.</summary>
    /// <param name="expected">What the others have.</param>
    /// <param name="bfloat16">Whether the base is held in bfloat16: only then it matters what multiplies it.</param>
    public string? DifferenceFrom(WorkerFingerprint expected, bool bfloat16)
    {
        ArgumentNullException.ThrowIfNull(expected);
        return Difference("version", ProductVersion, expected.ProductVersion)
            ?? (bfloat16 || Vectors(InstructionSet) != Vectors(expected.InstructionSet) ? Difference("instruction set", InstructionSet, expected.InstructionSet) : null)
            ?? Difference("compute library", ComputeLibrary, expected.ComputeLibrary)
            ?? Difference("base model hash", BaseSha256, expected.BaseSha256);
    }

    private static string? Difference(string what, string got, string expected) =>
        string.Equals(got, expected, StringComparison.Ordinal) ? null : $"{what} is '{got}', the run has '{expected}'";

    private static string Vectors(string instructionSet) => instructionSet.Replace(BFloat16, "", StringComparison.Ordinal);

    private static string DescribeInstructionSet()
    {
        var vectors = Avx512F.IsSupported ? "avx512" : Avx2.IsSupported ? "avx2" : "baseline";
        return $"{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}-{vectors}{(Processor.MultipliesBFloat16 ? BFloat16 : "")}";
    }
}
