using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Core.Tests.Optimization;

/// <summary>What the golden tables of rates, which the golden suite runs, do not say.</summary>
public sealed class LearningRateScheduleTests
{
    [Fact]
    public void RateAt_NegativeStep_Throws() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new LearningRateSchedule(new ScheduleSettings(ScheduleKind.Linear, 1, 0, 1)).RateAt(-1));
}
