using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace DistTune.Core.Training;

/// <summary>The address of adapter values by content.</summary>
public static class AdapterHash
{
    /// <summary>Lower-case hexadecimal SHA-256 of the values as little-endian fp32.</summary>
    public static string Sha256(ReadOnlySpan<float> values)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        // By blocks: a span of bytes ends at 2 GiB, a span of floats at 8.
        const int Block = 1 << 20;
        for (var start = 0; start < values.Length; start += Block)
        {
            hash.AppendData(MemoryMarshal.AsBytes(values.Slice(start, Math.Min(Block, values.Length - start))));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>The values with their address.</summary>
    public static AdapterVersion Version(ReadOnlyMemory<float> values) => new(Sha256(values.Span), values);
}
