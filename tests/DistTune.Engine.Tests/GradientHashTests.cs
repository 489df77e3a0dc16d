using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace DistTune.Engine.Tests;

public sealed class GradientHashTests
{
    [Fact]
    public void It_is_the_hash_of_the_hashes_of_the_blocks()
    {
        var vector = Noise(GradientHash.BlockFloats + 5);
        var bytes = MemoryMarshal.AsBytes<float>(vector);
        const int Block = GradientHash.BlockFloats * sizeof(float);

        byte[] digests = [.. SHA256.HashData(bytes[..Block]), .. SHA256.HashData(bytes[Block..])];

        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(digests)), GradientHash.Of(vector));
    }

    [Fact]
    public void Parts_in_any_order_and_parts_that_never_come_give_the_hash_of_the_vector()
    {
        var vector = Noise((3 * GradientHash.BlockFloats) + 77);
        var random = new Random(5);
        var parts = Enumerable.Range(0, vector.Length).Chunk(20_011).Select(part => (Offset: part[0], part.Length)).ToArray();
        for (var round = 0; round < 5; round++)
        {
            random.Shuffle(parts);
            var hashed = new List<(long, int)>();
            var hash = new GradientHash(vector.Length, (start, count) =>
            {
                hashed.Add((start, count));
                return vector.AsSpan((int)start, count);
            });
            foreach (var (offset, length) in parts.Skip(round))
            {
                hash.Fill(offset, length);
            }

            Assert.Equal(GradientHash.Of(vector), hash.Finish());
            Assert.Equal(4, hashed.Distinct().Count());
            Assert.Equal(vector.Length, hashed.Sum(block => block.Item2));
        }
    }

    private static float[] Noise(int length) => [.. Enumerable.Range(0, length).Select(index => MathF.Sin(index))];
}
