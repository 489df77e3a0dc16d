using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace DistTune.Engine;

/// <summary>The address of an optimizer's state by content.</summary>
internal static class OptimizerHash
{
    // A span of bytes ends at 2 GiB, a span of floats at 8.
    private const int BlockFloats = 1 << 20;

    /// <summary>Lower-case hexadecimal SHA-256 of both moments, one after the other, as little-endian fp32.</summary>
    public static string Of(ReadOnlySpan<float> firstMoment, ReadOnlySpan<float> secondMoment)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Append(hash, firstMoment);
        Append(hash, secondMoment);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Append(IncrementalHash hash, ReadOnlySpan<float> values)
    {
        for (var start = 0; start < values.Length; start += BlockFloats)
        {
            hash.AppendData(MemoryMarshal.AsBytes(values.Slice(start, Math.Min(BlockFloats, values.Length - start))));
        }
    }
}
