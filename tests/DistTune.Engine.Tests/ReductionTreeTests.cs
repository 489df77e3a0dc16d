using DistTune.Core.Training;

namespace DistTune.Engine.Tests;

public sealed class ReductionTreeTests
{
    private const int Length = 203;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(8)]
    [InlineData(13)]
    [InlineData(33)]
    public void The_sum_has_the_same_bits_for_any_order_of_arrival(int groups)
    {
        var gradients = Gradients(groups);
        var expected = AlignedSum(gradients, 0, PowerOfTwoAtLeast(groups))!;
        var random = new Random(groups);
        for (var round = 0; round < 50; round++)
        {
            var pool = new BufferPool(Layout());
            var tree = new ReductionTree(groups, pool);
            var order = Enumerable.Range(0, groups).ToArray();
            random.Shuffle(order);
            var completed = order.Select(group => tree.Add(group, Copy(gradients[group], pool))).ToArray();

            Assert.True(completed[^1]);
            Assert.DoesNotContain(true, completed[..^1]);
            Assert.Equal(expected, tree.Root!.AsSpan(0, Length).ToArray());
        }
    }

    [Fact]
    public void Concurrent_arrivals_give_the_same_bits()
    {
        const int groups = 64;
        var gradients = Gradients(groups);
        var expected = AlignedSum(gradients, 0, groups)!;
        var pool = new BufferPool(Layout());
        var tree = new ReductionTree(groups, pool);

        Parallel.For(0, groups, group => tree.Add(group, Copy(gradients[group], pool)));

        Assert.Equal(expected, tree.Root!.AsSpan(0, Length).ToArray());
    }

    [Fact]
    public void A_sequential_sum_differs_so_the_order_is_what_is_tested()
    {
        var gradients = Gradients(33);
        var sequential = new float[Length];
        foreach (var gradient in gradients)
        {
            FlatVector.AddTo(sequential, gradient);
        }

        Assert.NotEqual(AlignedSum(gradients, 0, 64), sequential);
    }

    [Fact]
    public void Buffers_go_back_to_the_pool_as_they_are_added()
    {
        var pool = new BufferPool(Layout());
        for (var step = 0; step < 10; step++)
        {
            var tree = new ReductionTree(16, pool);
            foreach (var (gradient, group) in Gradients(16).Select((gradient, group) => (gradient, group)))
            {
                tree.Add(group, Copy(gradient, pool));
            }

            tree.Release();
        }

        // In order of index, at most one buffer a level waits, besides the one that comes in.
        Assert.Equal(5, pool.Created);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Any_non_finite_element_is_found(float value)
    {
        var values = new float[67];
        values.AsSpan().Fill(float.MaxValue);
        Assert.Equal(-1, FlatVector.IndexOfNonFinite(values));
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = value;
            Assert.Equal(i, FlatVector.IndexOfNonFinite(values));
            values[i] = -float.MaxValue;
        }
    }

    private static ParameterLayout Layout() => ParameterLayout.Create([new ParameterEntry("w", [Length], 0, 0)]);

    private static float[][] Gradients(int groups) =>
        [.. Enumerable.Range(0, groups).Select(group =>
            Enumerable.Range(0, Length).Select(i => FakeComputer.Noise((ulong)group, (ulong)i) * MathF.Pow(2, (group + i) % 17)).ToArray())];

    private static float[] Copy(float[] values, BufferPool pool)
    {
        var buffer = pool.Rent();
        values.CopyTo(buffer, 0);
        return buffer;
    }

    private static int PowerOfTwoAtLeast(int groups) => groups == 1 ? 1 : 2 * PowerOfTwoAtLeast((groups + 1) / 2);

    private static float[]? AlignedSum(float[][] gradients, int first, int width)
    {
        if (first >= gradients.Length)
        {
            return null;
        }

        if (width == 1)
        {
            return gradients[first];
        }

        var left = AlignedSum(gradients, first, width / 2)!;
        return AlignedSum(gradients, first + (width / 2), width / 2) is { } right ? [.. left.Zip(right, (a, b) => a + b)] : left;
    }
}
