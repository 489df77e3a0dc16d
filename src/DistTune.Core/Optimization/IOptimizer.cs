using DistTune.Core.Training;

namespace DistTune.Core.Optimization;

/// <summary>Turns gradients into steps of the trained values. Element-wise: the same bits everywhere.</summary>
public interface IOptimizer
{
    /// <summary>Number of steps taken.</summary>
    int StepCount { get; }

    /// <summary>The moving average of gradients, as it lies in memory and in snapshots: not always values of the layout.</summary>
    ReadOnlyMemory<float> FirstMoment { get; }

    /// <summary>The moving average of squared gradients; as long as <see cref="FirstMoment"/>.</summary>
    ReadOnlyMemory<float> SecondMoment { get; }

    /// <summary>Puts back a state that was saved after <paramref name="stepCount"/> steps.</summary>
    /// <exception cref="ArgumentException">A moment has another length, or the count is negative.</exception>
    void Restore(int stepCount, ReadOnlySpan<float> firstMoment, ReadOnlySpan<float> secondMoment);

    /// <summary>Takes one step: updates the moments and <paramref name="parameters"/>. Gaps of the layout stay untouched.</summary>
    /// <param name="parameters">The trained values, changed in place.</param>
    /// <param name="gradient">The gradient of the mean loss.</param>
    /// <param name="learningRate">The step's rate; entries scale it by <see cref="ParameterEntry.LearningRateScale"/>.</param>
    /// <param name="gradientFactor">Factor on the gradient before it is used, such as <see cref="GradientClipping.Factor"/>.</param>
    void Step(Span<float> parameters, ReadOnlySpan<float> gradient, double learningRate, double gradientFactor = 1.0);
}
