using System.Numerics;
using System.Runtime.Intrinsics;

namespace DistTune.Core.Quantization;

/// <summary>
/// Blockwise quantisation to four bits, bit for bit as bitsandbytes' portable rules have it. Blocks run over the flattened tensor,
/// whatever its rows; of a byte's two codes the first is in the high half.
/// </summary>
public static class FourBitBlocks
{
    private const int CodeCount = 16;
    private const int MaxBlockSize = 1 << 20;
    private const int StackBlock = 4096;

    // The halves of a byte, as two 32-bit indices in the order of the elements.
    private static readonly long[] Halves = [.. Enumerable.Range(0, 256).Select(value => (long)(value >> 4) | ((long)(value & 15) << 32))];

    /// <summary>Bytes that hold so many codes.</summary>
    public static long PackedLength(long elements) => checked(elements + 1) / 2;

    /// <summary>Blocks of so many elements.</summary>
    public static long BlockCount(long elements, int blockSize) => checked(elements + blockSize - 1) / blockSize;

    /// <summary>Quantises a whole tensor, or whole blocks of it and then the rest.</summary>
    /// <param name="values">The values; only the last call of a tensor may end in a short block.</param>
    /// <param name="kind">What the codes stand for.</param>
    /// <param name="blockSize">Elements that share a scale; even.</param>
    /// <param name="packed">Takes two codes a byte; an odd last half stands for 0.</param>
    /// <param name="scales">Takes a scale for each block.</param>
    /// <exception cref="DistTuneException">A value is not finite.</exception>
    public static void Quantize(ReadOnlySpan<float> values, FourBitKind kind, int blockSize, Span<byte> packed, Span<float> scales)
    {
        RequireBlockSize(blockSize);
        BlockScale.Check(values.Length, blockSize, scales.Length);
        if (packed.Length != PackedLength(values.Length))
        {
            throw new ArgumentException($"{values.Length} values take {PackedLength(values.Length)} bytes, got {packed.Length}.", nameof(packed));
        }

        var book = CodeBook.Of(kind);
        Span<int> ranks = blockSize <= StackBlock ? stackalloc int[StackBlock] : new int[blockSize];
        for (var block = 0; block < scales.Length; block++)
        {
            var start = block * blockSize;
            var part = values[start..Math.Min(start + blockSize, values.Length)];
            var scale = BlockScale.Of(part, isWhole: part.Length == blockSize);
            Rank(part, scale, book.Midpoints, ranks);
            Pack(ranks[..part.Length], book, packed.Slice(start / 2, (part.Length + 1) / 2));
            scales[block] = scale.Stored;
        }
    }

    /// <summary>The values of some elements.</summary>
    /// <param name="packed">All codes of the tensor.</param>
    /// <param name="scales">The scales of the blocks from the one that holds element <paramref name="start"/>.</param>
    /// <param name="kind">What the codes stand for.</param>
    /// <param name="blockSize">Elements that share a scale; even.</param>
    /// <param name="start">First element.</param>
    /// <param name="values">Takes the values.</param>
    public static void Dequantize(ReadOnlySpan<byte> packed, ReadOnlySpan<float> scales, FourBitKind kind, int blockSize, long start, Span<float> values)
    {
        RequireBlockSize(blockSize);
        var book = CodeBook.Of(kind).Values.AsSpan();
        Span<float> table = stackalloc float[CodeCount];
        var block = 0;
        var done = 0;
        while (done < values.Length)
        {
            var element = start + done;
            var count = (int)Math.Min(blockSize - (element % blockSize), values.Length - done);
            for (var code = 0; code < CodeCount; code++)
            {
                table[code] = book[code] * scales[block];
            }

            Expand(packed, element, table, values.Slice(done, count));
            done += count;
            block++;
        }
    }

    /// <summary>Checks a block size that comes from a file or a caller.</summary>
    internal static void RequireBlockSize(int blockSize)
    {
        if (blockSize is < 2 or > MaxBlockSize || blockSize % 2 != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(blockSize), blockSize, $"A block has an even number of elements from 2 to {MaxBlockSize}.");
        }
    }

    private static void Rank(ReadOnlySpan<float> values, BlockScale scale, ReadOnlySpan<float> midpoints, Span<int> ranks)
    {
        var i = 0;
        for (; i <= values.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var scaled = scale.Apply(new Vector<float>(values[i..]));
            var rank = Vector<int>.Zero;
            foreach (var midpoint in midpoints)
            {
                // A comparison that holds is -1.
                rank -= Vector.GreaterThan(scaled, new Vector<float>(midpoint));
            }

            rank.CopyTo(ranks[i..]);
        }

        for (; i < values.Length; i++)
        {
            var scaled = scale.Apply(values[i]);
            ranks[i] = 0;
            foreach (var midpoint in midpoints)
            {
                ranks[i] += midpoint < scaled ? 1 : 0;
            }
        }
    }

    private static void Pack(ReadOnlySpan<int> ranks, CodeBook book, Span<byte> packed)
    {
        var codes = book.CodeOfRank;
        for (var i = 0; i < ranks.Length / 2; i++)
        {
            packed[i] = (byte)((codes[ranks[2 * i]] << 4) | codes[ranks[(2 * i) + 1]]);
        }

        if (ranks.Length % 2 != 0)
        {
            packed[^1] = (byte)((codes[ranks[^1]] << 4) | book.CodeOf(0));
        }
    }

    private static void Expand(ReadOnlySpan<byte> packed, long element, ReadOnlySpan<float> table, Span<float> values)
    {
        var i = 0;
        if (element % 2 != 0)
        {
            values[i++] = table[packed[(int)(element / 2)] & 15];
        }

        var bytes = packed.Slice((int)((element + i) / 2), (values.Length - i + 1) / 2);
        var position = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            var low = Vector256.Create(table[..8]);
            var high = Vector256.Create(table[8..]);
            var eight = Vector256.Create(8);
            for (; i <= values.Length - 8; i += 8, position += 4)
            {
                var index = Vector256.Create(Halves[bytes[position]], Halves[bytes[position + 1]], Halves[bytes[position + 2]], Halves[bytes[position + 3]]).AsInt32();
                // An index outside of 0..7 gives 0, so that one of the two is always 0.
                (Vector256.Shuffle(low, index) | Vector256.Shuffle(high, index - eight)).CopyTo(values[i..]);
            }
        }

        for (; i < values.Length; i += 2, position++)
        {
            values[i] = table[bytes[position] >> 4];
            if (i + 1 < values.Length)
            {
                values[i + 1] = table[bytes[position] & 15];
            }
        }
    }
}
