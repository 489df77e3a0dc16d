using System.Collections.Immutable;
using DistTune.Core.Planning;

namespace DistTune.Core.Tests.Planning;

public sealed class StepPlanTests
{
    [Theory]
    [InlineData(16, 2, 4, 1.0, 2, 2)]
    [InlineData(17, 2, 4, 1.0, 3, 3)]
    [InlineData(485, 4, 4, 2.0, 31, 62)]
    [InlineData(10, 4, 1, 2.5, 3, 8)]
    [InlineData(1, 8, 8, 3.0, 1, 3)]
    public void Create_RowsAndEpochs_CountsStepsAsTheTrainerDoes(int rows, int microBatch, int groups, double epochs, int perEpoch, int steps)
    {
        var plan = Plan(rows, microBatch, groups, epochs);
        Assert.Equal(perEpoch, plan.StepsPerEpoch);
        Assert.Equal(steps, plan.Steps);
    }

    [Fact]
    public void RowsOf_AnEpoch_TakesEveryRowOnce()
    {
        var plan = Plan(23, 2, 3, 2);
        for (var epoch = 0; epoch < 2; epoch++)
        {
            var rows = Enumerable.Range(epoch * plan.StepsPerEpoch, plan.StepsPerEpoch).SelectMany(step => plan.RowsOf(step)).SelectMany(group => group);
            Assert.Equal(Enumerable.Range(0, 23), rows.Order());
        }
    }

    [Fact]
    public void RowsOf_LastStepOfAnEpoch_IsSmaller()
    {
        var last = Plan(23, 2, 3, 1).RowsOf(3);
        Assert.Equal([2, 2, 1], last.Select(group => group.Length));
        Assert.Equal([1], Plan(7, 2, 3, 1).RowsOf(1).Select(group => group.Length));
    }

    [Fact]
    public void RowsOf_WithoutShuffle_KeepsTheRowsOrder()
    {
        var plan = StepPlan.Create(10, 2, 2, 1, 12, 1, shuffle: false);
        Assert.Equal([[0, 1], [2, 3]], plan.RowsOf(0));
        Assert.Equal([[8, 9]], plan.RowsOf(2));
        Assert.Equal([[0, 1], [2, 3]], plan.RowsOf(3));
    }

    [Fact]
    public void RowsOf_AskedInAnyOrder_AnswersTheSame()
    {
        var (forward, backward) = (Plan(23, 2, 3, 3), Plan(23, 2, 3, 3));
        var expected = Enumerable.Range(0, forward.Steps).Select(forward.RowsOf).ToArray();
        for (var step = backward.Steps - 1; step >= 0; step--)
        {
            Assert.Equal(Flat(expected[step]), Flat(backward.RowsOf(step)));
        }
    }

    [Fact]
    public void RowsOf_AnotherSeedOrEpoch_HasAnotherOrder()
    {
        var plan = Plan(100, 4, 25, 2);
        Assert.NotEqual(Flat(plan.RowsOf(0)), Flat(plan.RowsOf(1)));
        Assert.NotEqual(Flat(plan.RowsOf(0)), Flat(StepPlan.Create(100, 4, 25, 2, null, 8, true).RowsOf(0)));
    }

    [Fact]
    public void RowsOf_BeyondTheEnd_Throws() => Assert.Throws<ArgumentOutOfRangeException>(() => Plan(4, 2, 2, 1).RowsOf(1));

    private static StepPlan Plan(int rows, int microBatch, int groups, double epochs) => StepPlan.Create(rows, microBatch, groups, epochs, null, 7, shuffle: true);

    private static int[] Flat(ImmutableArray<ImmutableArray<int>> groups) => [.. groups.SelectMany(group => group)];
}
