using System.Diagnostics;
using System.Runtime.InteropServices;
using DistTune.Core.Training;
using DistTune.Engine;

namespace DistTune.Cli.Benchmarking;

/// <summary>Processor time of a vector's checksums: the best of a few rounds, on a machine that may be doing something else.</summary>
/// <param name="Crc">CRC-32C of every chunk.</param>
/// <param name="Sha">SHA-256.</param>
internal sealed record ChecksumCost(double Crc, double Sha)
{
    private const int Rounds = 4;
    private const int ChunkBytes = 256 * 1024;

    /// <param name="floats">Length of the flat vector.</param>
    public static ChecksumCost Measure(int floats)
    {
        var vector = new float[floats];
        for (var index = 0; index < vector.Length; index++)
        {
            vector[index] = index;
        }

        return new ChecksumCost(Best(() => Checksum(MemoryMarshal.AsBytes<float>(vector))), Best(() => AdapterHash.Sha256(vector)));
    }

    private static void Checksum(ReadOnlySpan<byte> bytes)
    {
        for (var offset = 0; offset < bytes.Length; offset += ChunkBytes)
        {
            Crc32C.Compute(bytes.Slice(offset, Math.Min(ChunkBytes, bytes.Length - offset)));
        }
    }

    private static double Best(Action action)
    {
        var best = double.MaxValue;
        for (var round = 0; round < Rounds; round++)
        {
            var started = Stopwatch.GetTimestamp();
            action();
            best = Math.Min(best, Stopwatch.GetElapsedTime(started).TotalSeconds);
        }

        return best;
    }
}
