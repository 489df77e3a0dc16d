using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Optimization;

public sealed class AdamW8BitTests
{
    // One below the threshold, and one above that neither fills its last block nor its last float of codes.
    private static readonly ParameterLayout Layout = ParameterLayout.Create([new("small", [100], 0, 0), new("large", [5003], 0, 0), new("last", [7], 0, 0)]);

    [Fact]
    public void Restore_AfterSomeSteps_ContinuesBitForBit()
    {
        var (straight, resumed) = (new AdamW8Bit(Layout, new OptimizerSettings()), new AdamW8Bit(Layout, new OptimizerSettings()));
        var parameters = Values(1);
        for (var step = 0; step < 3; step++)
        {
            straight.Step(parameters, Values(step + 2), 1e-2);
        }

        resumed.Restore(straight.StepCount, straight.FirstMoment.Span, straight.SecondMoment.Span);
        var copy = parameters.ToArray();
        for (var step = 3; step < 6; step++)
        {
            straight.Step(parameters, Values(step + 2), 1e-2);
            resumed.Step(copy, Values(step + 2), 1e-2);
        }

        Assert.Equal(parameters, copy);
        Assert.NotEqual(Values(1), copy);
    }

    [Fact]
    public void The_moments_take_the_memory_that_is_said()
    {
        var settings = new OptimizerSettings { EightBit = true };
        var optimizer = Optimizers.Create(Layout, settings);

        // 5003 codes in 1251 floats, and 20 scales.
        Assert.Equal(100 + 1251 + 20 + 7, Optimizers.MomentLength(Layout, settings));
        Assert.Equal(Optimizers.MomentLength(Layout, settings), optimizer.FirstMoment.Length);
        Assert.Equal(Layout.Length, Optimizers.MomentLength(Layout, new OptimizerSettings()));
    }

    [Fact]
    public void Small_tensors_keep_moments_in_full()
    {
        var (full, eight) = (new AdamW(Layout, new OptimizerSettings()), new AdamW8Bit(Layout, new OptimizerSettings()));
        var (one, other) = (Values(1), Values(1));
        for (var step = 0; step < 4; step++)
        {
            full.Step(one, Values(step + 2), 1e-2);
            eight.Step(other, Values(step + 2), 1e-2);
        }

        var large = Layout.Entries[1];
        // In another order of operations, and after a few steps of eight bits.
        Assert.All(Enumerable.Range(0, 100), index => Assert.Equal(one[index], other[index], 1e-6f));
        Assert.All(Enumerable.Range((int)large.Offset, (int)large.Length), index => Assert.Equal(one[index], other[index], 0.02f));
    }

    private static float[] Values(ulong seed)
    {
        var values = new float[Layout.Length];
        foreach (var entry in Layout.Entries)
        {
            for (var i = 0; i < entry.Length; i++)
            {
                values[entry.Offset + i] = (float)CounterRandom.Normal(seed, CounterRandom.Stream(entry.Name), (ulong)i);
            }
        }

        return values;
    }

    private static float[] Values(int seed) => Values((ulong)seed);
}
