using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>
/// SHA-256 of everything in a result that must be the same on every worker: the gradient, the loss sum's bits, the counts and the
/// continuations. Two results of a group with different digests are a determinism violation.
/// </summary>
public static class ResultDigest
{
    /// <summary>The digest, lower-case hexadecimal.</summary>
    /// <param name="outcome">Sums, counts and continuations; timings don't count.</param>
    /// <param name="gradientSha256">SHA-256 of the flat gradient; empty for groups that have none.</param>
    public static string Of(GroupOutcome outcome, string gradientSha256)
    {
        ArgumentNullException.ThrowIfNull(outcome);
        ArgumentNullException.ThrowIfNull(gradientSha256);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.ASCII.GetBytes(gradientSha256));
        Append(hash, BitConverter.DoubleToInt64Bits(outcome.LossSum));
        Append(hash, outcome.TrainedTokens);
        Append(hash, outcome.TotalTokens);
        foreach (var continuation in outcome.Continuations)
        {
            Append(hash, continuation.Length);
            foreach (var token in continuation)
            {
                Append(hash, token);
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static void Append(IncrementalHash hash, long value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        hash.AppendData(bytes);
    }
}
