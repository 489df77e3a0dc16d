using System.Diagnostics;
using System.Runtime.InteropServices;
using DistTune.Core.Training;
using DistTune.Engine;

namespace DistTune.Cli.Benchmarking;

/// <summary>What it costs to lose nothing, by its parts: the same checksums and flushed writes that a step makes, on the run's disk.</summary>
/// <param name="ChecksumSeconds">CRC-32C of every chunk and SHA-256 of every vector, on both sides of the wire.</param>
/// <param name="WriteSeconds">A spooled gradient a group, and the step's redo gradient.</param>
internal sealed record DurabilityCost(double ChecksumSeconds, double WriteSeconds)
{
    private const int Rounds = 3;
    private const int ChunkBytes = 256 * 1024;

    /// <summary>Measures one step.</summary>
    /// <param name="folder">A folder on the run's disk.</param>
    /// <param name="floats">Length of the flat vector.</param>
    /// <param name="groups">Groups of a step.</param>
    public static DurabilityCost Measure(string folder, int floats, int groups)
    {
        var vector = new float[floats];
        for (var index = 0; index < vector.Length; index++)
        {
            vector[index] = index;
        }

        var bytes = MemoryMarshal.AsBytes<float>(vector).ToArray();
        var path = Path.Combine(folder, "durability-cost");
        try
        {
            using var file = File.OpenHandle(path, FileMode.Create, FileAccess.ReadWrite);
            var (crc, sha, write) = (Best(() => Checksum(bytes)), Best(() => AdapterHash.Sha256(vector)), Best(() =>
            {
                RandomAccess.Write(file, bytes, 0);
                RandomAccess.FlushToDisk(file);
            }));

            // A group: CRC and SHA-256 at the worker and at the coordinator. A step: SHA-256 of the sum and of the new adapter, which each
            // worker's download checks once more.
            return new DurabilityCost((groups * 2 * (crc + sha)) + (3 * sha) + (2 * crc), (groups + 1) * write);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static uint Checksum(byte[] bytes)
    {
        var all = 0u;
        for (var offset = 0; offset < bytes.Length; offset += ChunkBytes)
        {
            all ^= Crc32C.Compute(bytes.AsSpan(offset, Math.Min(ChunkBytes, bytes.Length - offset)));
        }

        return all;
    }

    private static double Best(Action action)
    {
        var best = double.MaxValue;
        for (var round = 0; round <= Rounds; round++)
        {
            var started = Stopwatch.GetTimestamp();
            action();
            best = Math.Min(best, Stopwatch.GetElapsedTime(started).TotalSeconds);
        }

        return best;
    }

    private static double Best<T>(Func<T> function) => Best(() => { function(); });
}
