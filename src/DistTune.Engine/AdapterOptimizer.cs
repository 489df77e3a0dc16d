using System.Diagnostics;
using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>What an optimizer step made.</summary>
internal readonly record struct OptimizerStepResult(AdapterVersion Adapter, string GradientSha256, double GradientNorm, double LearningRate, int NonFinite);

/// <summary>Turns a reduced gradient into the next adapter version: one division, norm, clip, AdamW.</summary>
internal sealed class AdapterOptimizer(RunPlan plan)
{
    private readonly AdamW _adamW = new(plan.Layout, plan.Optimizer);
    private readonly LearningRateSchedule _schedule = new(plan.Schedule);

    /// <summary>The moving average of gradients.</summary>
    public ReadOnlyMemory<float> FirstMoment => _adamW.FirstMoment;

    /// <summary>The moving average of squared gradients.</summary>
    public ReadOnlyMemory<float> SecondMoment => _adamW.SecondMoment;

    /// <summary>Puts back what was saved after a number of steps.</summary>
    public void Restore(int step, ReadOnlySpan<float> firstMoment, ReadOnlySpan<float> secondMoment) => _adamW.Restore(step, firstMoment, secondMoment);

    /// <summary>Takes the step. The gradient is of the loss sum and is divided in place.</summary>
    /// <returns>The next version; unusable if <see cref="OptimizerStepResult.NonFinite"/> is not -1.</returns>
    public OptimizerStepResult Step(int step, AdapterVersion adapter, Span<float> gradient, long trainedTokens)
    {
        Debug.Assert(_adamW.StepCount == step, "Every optimizer step is taken once, in order.");
        var gradientSha256 = AdapterHash.Sha256(gradient);
        var rate = _schedule.RateAt(step);
        FlatVector.Divide(gradient, trainedTokens);
        var norm = GradientClipping.Norm(gradient);
        var values = adapter.Values.ToArray();
        _adamW.Step(values, gradient, rate, GradientClipping.Factor(norm, plan.MaxGradientNorm));
        return new OptimizerStepResult(AdapterHash.Version(values), gradientSha256, norm, rate, FlatVector.IndexOfNonFinite(values));
    }
}
