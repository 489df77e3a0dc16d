using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace DistTune.Goldens.Formats;

/// <summary>The hash by which goldens name a tensor's exact values.</summary>
internal static class TensorHash
{
    /// <summary>Lower-case hexadecimal SHA-256 of the values as little-endian fp32.</summary>
    public static string Sha256(ReadOnlySpan<float> values) => Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(values)));
}
