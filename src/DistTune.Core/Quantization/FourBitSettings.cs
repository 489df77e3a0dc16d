namespace DistTune.Core.Quantization;

/// <summary>Which sixteen values four bits stand for.</summary>
public enum FourBitKind
{
    /// <summary>NormalFloat: quantiles of a normal distribution (Dettmers et al. 2023, arXiv:2305.14314).</summary>
    Nf4,

    /// <summary>Floating point with one sign, two exponent bits and one mantissa bit.</summary>
    Fp4,
}

/// <summary>How a frozen base is held in four bits.</summary>
/// <param name="Kind">The sixteen values.</param>
/// <param name="BlockSize">Elements that share a scale.</param>
/// <param name="DoubleQuantization">Whether the scales themselves are held in eight bits.</param>
public sealed record FourBitSettings(FourBitKind Kind = FourBitKind.Nf4, int BlockSize = 64, bool DoubleQuantization = true)
{
    /// <summary>Scales that share a scale of their own, where there is double quantisation.</summary>
    public const int NestedBlockSize = 256;

    /// <summary>The block sizes that the reference implementation has kernels for.</summary>
    public static IReadOnlyList<int> BlockSizes { get; } = [32, 64, 128, 256, 512, 1024, 2048, 4096];

    /// <summary>The settings in a few words, such as <c>nf4-b64-double</c>: part of hashes and file names.</summary>
    public string Tag => FormattableString.Invariant($"{Spelling(Kind)}-b{BlockSize}{(DoubleQuantization ? "-double" : "")}");

    /// <summary>How configurations and files spell a kind.</summary>
    public static string Spelling(FourBitKind kind) => kind == FourBitKind.Nf4 ? "nf4" : "fp4";
}
