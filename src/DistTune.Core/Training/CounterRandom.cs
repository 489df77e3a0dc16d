using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace DistTune.Core.Training;

/// <summary>
/// Random numbers addressed by (seed, stream, counter) instead of drawn in order: Philox4x32-10 (Salmon et al. 2011, SC11). The same
/// address gives the same bits on every machine, whoever asks and in whatever order.
/// </summary>
public static class CounterRandom
{
    private const uint MultiplierA = 0xD2511F53;
    private const uint MultiplierB = 0xCD9E8D57;
    private const uint WeylA = 0x9E3779B9;
    private const uint WeylB = 0xBB67AE85;
    private const int Rounds = 10;
    private const int UniformsPerNormal = 12;
    private const double InverseTwoTo53 = 1.0 / (1UL << 53);
    private const double InverseTwoTo32 = 1.0 / (1UL << 32);

    /// <summary>A stream's number from its name: the first eight bytes of the name's SHA-256.</summary>
    public static ulong Stream(string name) => BinaryPrimitives.ReadUInt64LittleEndian(SHA256.HashData(Encoding.UTF8.GetBytes(name)));

    /// <summary>64 random bits.</summary>
    public static ulong Hash(ulong seed, ulong stream, ulong counter)
    {
        var (a, b, _, _) = Block(seed, stream, counter);
        return a | ((ulong)b << 32);
    }

    /// <summary>Uniform in [0, 1), a multiple of 2^-53.</summary>
    public static double Uniform(ulong seed, ulong stream, ulong counter) => (Hash(seed, stream, counter) >> 11) * InverseTwoTo53;

    /// <summary>
    /// Mean 0, variance 1: the centred sum of twelve 32-bit uniforms, whose kurtosis is 2.9 and whose range is ±6. Summed as integers, so
    /// that no machine's logarithm shows in the last bit.
    /// </summary>
    public static double Normal(ulong seed, ulong stream, ulong counter)
    {
        var sum = 0L;
        for (var i = 0UL; i < UniformsPerNormal / 4; i++)
        {
            var (a, b, c, d) = Block(seed, stream, unchecked((counter * (UniformsPerNormal / 4)) + i));
            sum += (long)a + b + c + d;
        }

        // Each 32-bit integer stands for the middle of its interval, hence the half of each.
        return (sum - (UniformsPerNormal / 2 * (1L << 32)) + (UniformsPerNormal / 2)) * InverseTwoTo32;
    }

    /// <summary>A uniformly random order of 0..count-1 (Fisher and Yates).</summary>
    public static int[] Permutation(ulong seed, ulong stream, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        var order = new int[count];
        for (var i = 0; i < count; i++)
        {
            var j = (int)Math.BigMul(Hash(seed, stream, (ulong)i), (ulong)i + 1, out _);
            order[i] = order[j];
            order[j] = i;
        }

        return order;
    }

    /// <summary>One Philox block: key = seed, counter = (counter, stream).</summary>
    public static (uint A, uint B, uint C, uint D) Block(ulong seed, ulong stream, ulong counter)
    {
        var (a, b) = ((uint)counter, (uint)(counter >> 32));
        var (c, d) = ((uint)stream, (uint)(stream >> 32));
        var (keyA, keyB) = ((uint)seed, (uint)(seed >> 32));
        for (var round = 0; round < Rounds; round++)
        {
            var productA = (ulong)MultiplierA * a;
            var productB = (ulong)MultiplierB * c;
            (a, b, c, d) = ((uint)(productB >> 32) ^ b ^ keyA, (uint)productB, (uint)(productA >> 32) ^ d ^ keyB, (uint)productA);
            unchecked
            {
                keyA += WeylA;
                keyB += WeylB;
            }
        }

        return (a, b, c, d);
    }
}
