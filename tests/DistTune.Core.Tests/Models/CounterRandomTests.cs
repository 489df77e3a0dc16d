using DistTune.Core.Training;

namespace DistTune.Core.Tests.Models;

public sealed class CounterRandomTests
{
    // Known answers that the generator's authors publish.
    [Theory]
    [InlineData(0UL, 0UL, 0UL, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [InlineData(ulong.MaxValue, ulong.MaxValue, ulong.MaxValue, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [InlineData(0x299f31d0_a4093822UL, 0x03707344_13198a2eUL, 0x85a308d3_243f6a88UL, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void Block_KnownAnswers(ulong seed, ulong stream, ulong counter, uint a, uint b, uint c, uint d) =>
        Assert.Equal((a, b, c, d), CounterRandom.Block(seed, stream, counter));

    [Fact]
    public void Uniform_IsWithinZeroAndOneAndEven()
    {
        var values = Enumerable.Range(0, 20000).Select(i => CounterRandom.Uniform(3, 4, (ulong)i)).ToArray();

        Assert.All(values, value => Assert.InRange(value, 0, 1 - double.Epsilon));
        Assert.InRange(values.Average(), 0.49, 0.51);
        for (var tenth = 0; tenth < 10; tenth++)
        {
            Assert.InRange(values.Count(value => (int)(value * 10) == tenth), 1850, 2150);
        }
    }

    [Fact]
    public void Normal_HasMeanZeroAndVarianceOne()
    {
        var values = Enumerable.Range(0, 20000).Select(i => CounterRandom.Normal(3, 4, (ulong)i)).ToArray();

        Assert.InRange(values.Average(), -0.03, 0.03);
        Assert.InRange(values.Average(value => value * value), 0.97, 1.03);
        Assert.InRange(values.Count(value => Math.Abs(value) < 1) / 20000.0, 0.67, 0.695);
    }

    [Fact]
    public void Permutation_IsAPermutationAndEveryPlaceIsEquallyLikely()
    {
        var firstPlaces = new int[5];
        for (var stream = 0UL; stream < 5000; stream++)
        {
            var order = CounterRandom.Permutation(1, stream, 5);
            Assert.Equal([0, 1, 2, 3, 4], order.Order());
            firstPlaces[order[0]]++;
        }

        Assert.All(firstPlaces, count => Assert.InRange(count, 880, 1120));
        Assert.Empty(CounterRandom.Permutation(1, 1, 0));
    }

    [Fact]
    public void Stream_DiffersByName() => Assert.NotEqual(CounterRandom.Stream("a"), CounterRandom.Stream("b"));
}
