using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Core.Configuration;

/// <summary>Optimizer and schedule as configured; the schedule is complete once the number of steps is known.</summary>
public sealed record OptimizerConfig
{
    /// <summary>AdamW's constants.</summary>
    public required OptimizerSettings Optimizer { get; init; }

    /// <summary>The highest learning rate.</summary>
    public required double LearningRate { get; init; }

    /// <summary>How it moves.</summary>
    public required ScheduleKind Schedule { get; init; }

    /// <summary>What single kinds of schedule take besides.</summary>
    public required ScheduleOptions ScheduleOptions { get; init; }

    /// <summary>Warmup in transformers' convention: from 1 on a number of steps, below a share of all steps.</summary>
    public required double Warmup { get; init; }

    /// <summary>Global norm above which gradients are scaled down; null never does.</summary>
    public required double? MaxGradientNorm { get; init; }

    /// <summary>The schedule of a run of <paramref name="steps"/> steps.</summary>
    public ScheduleSettings ScheduleFor(int steps) =>
        new(Schedule, LearningRate, LearningRateSchedule.WarmupSteps(Warmup, steps), steps) { Options = ScheduleOptions };
}
