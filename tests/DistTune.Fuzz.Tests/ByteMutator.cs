using System.Buffers.Binary;

namespace DistTune.Fuzz.Tests;

/// <summary>Changes bytes without knowing what they mean: flips, cuts, repetitions, numbers at the edges of their types.</summary>
internal static class ByteMutator
{
    private static readonly long[] Edges =
    [
        0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, 65535, 65536, int.MaxValue, int.MinValue, uint.MaxValue, 1L << 32, 1L << 40, 1L << 53,
        1L << 62, long.MaxValue, long.MinValue, 0x7FF0000000000000, 0x7FF8000000000000, 100_000_000, 100_000_001,
    ];

    public static byte[] Mutate(Random random, byte[] content)
    {
        for (var round = random.Next(1, 5); round > 0; round--)
        {
            content = Once(random, content);
        }

        return content;
    }

    private static byte[] Once(Random random, byte[] content)
    {
        if (content.Length == 0)
        {
            return [(byte)random.Next(256)];
        }

        var at = random.Next(content.Length);
        var length = random.Next(1, Math.Min(64, content.Length - at) + 1);
        switch (random.Next(8))
        {
            case 0:
                return With(content, bytes => bytes[at] ^= (byte)(1 << random.Next(8)));
            case 1:
                return With(content, bytes => random.NextBytes(bytes.AsSpan(at, length)));
            case 2:
                return content[..at];
            case 3:
                return [.. content[..at], .. content[(at + length)..]];
            case 4:
                var repeated = Enumerable.Repeat(content[at..(at + length)], random.Next(1, 200)).SelectMany(part => part);
                return [.. content[..at], .. repeated, .. content[at..]];
            case 5 or 6:
                return Edge(random, content, at);
            default:
                var other = random.Next(content.Length);
                return With(content, bytes => bytes.AsSpan(at, Math.Min(length, bytes.Length - Math.Max(at, other))).CopyTo(bytes.AsSpan(other)));
        }
    }

    private static byte[] Edge(Random random, byte[] content, int at) => With(content, bytes =>
    {
        Span<byte> number = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(number, Edges[random.Next(Edges.Length)] + random.Next(-1, 2));
        var size = Math.Min(1 << random.Next(4), bytes.Length - at);
        number[..size].CopyTo(bytes.AsSpan(at));
    });

    private static byte[] With(byte[] content, Action<byte[]> change)
    {
        var copy = content.ToArray();
        change(copy);
        return copy;
    }
}
