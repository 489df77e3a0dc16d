using System.Diagnostics;
using DistTune.Core.Memory;
using DistTune.Core.Optimization;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>What an optimizer step made.</summary>
/// <param name="Adapter">The next version.</param>
/// <param name="GradientSha256">The reduced gradient, before the division.</param>
/// <param name="OptimizerSha256">The moments after the step.</param>
/// <param name="GradientNorm">Global norm before clipping.</param>
/// <param name="LearningRate">The step's rate.</param>
/// <param name="NonFinite">Index of the adapter's first value that is none, or -1.</param>
/// <param name="HashTime">Time that the hashes took.</param>
internal readonly record struct OptimizerStepResult(
    AdapterVersion Adapter, string GradientSha256, string OptimizerSha256, double GradientNorm, double LearningRate, int NonFinite, TimeSpan HashTime);

/// <summary>Turns a reduced gradient into the next adapter version: one division, norm, clip, AdamW.</summary>
internal sealed class AdapterOptimizer(RunPlan plan)
{
    // Below this a hash is done sooner than another thread is woken.
    private const int LeastFloatsForThreads = 1 << 16;
    private readonly IOptimizer _optimizer = Optimizers.Create(plan.Layout, plan.Optimizer);
    private readonly LearningRateSchedule _schedule = new(plan.Schedule);

    /// <summary>The moving average of gradients.</summary>
    public ReadOnlyMemory<float> FirstMoment => _optimizer.FirstMoment;

    /// <summary>The moving average of squared gradients.</summary>
    public ReadOnlyMemory<float> SecondMoment => _optimizer.SecondMoment;

    /// <summary>The address of the moments.</summary>
    public string Sha256 => OptimizerHash.Of(FirstMoment.Span, SecondMoment.Span);

    /// <summary>Puts back what was saved after a number of steps.</summary>
    public void Restore(int step, ReadOnlySpan<float> firstMoment, ReadOnlySpan<float> secondMoment) => _optimizer.Restore(step, firstMoment, secondMoment);

    /// <summary>Takes the step.</summary>
    /// <param name="step">The step.</param>
    /// <param name="adapter">The version that the gradient is of.</param>
    /// <param name="gradient">Of the loss sum; stays as it is.</param>
    /// <param name="mean">Takes the gradient of the mean loss.</param>
    /// <param name="trainedTokens">What the sum is divided by.</param>
    /// <returns>The next version; unusable if <see cref="OptimizerStepResult.NonFinite"/> is not -1.</returns>
    public OptimizerStepResult Step(int step, AdapterVersion adapter, ReadOnlyMemory<float> gradient, Span<float> mean, long trainedTokens)
    {
        // The version before this one.
        VectorGarbage.Collect(adapter.Values.Length);
        var values = adapter.Values.ToArray();
        var (norm, rate) = Advance(step, values, gradient.Span, mean, trainedTokens);
        var started = Stopwatch.GetTimestamp();
        var (optimizerSha256, adapterSha256, gradientSha256) = Hashes(values, gradient);
        return new OptimizerStepResult(
            new AdapterVersion(adapterSha256, values), gradientSha256, optimizerSha256, norm, rate, FlatVector.IndexOfNonFinite(values), Stopwatch.GetElapsedTime(started));
    }

    /// <summary>Takes the step in place, without hashes.</summary>
    public (double Norm, double Rate) Advance(int step, Span<float> adapter, ReadOnlySpan<float> gradient, Span<float> mean, long trainedTokens)
    {
        Debug.Assert(_optimizer.StepCount == step, "Every optimizer step is taken once, in order.");
        var rate = _schedule.RateAt(step);
        FlatVector.Divide(gradient, trainedTokens, mean);
        var norm = GradientClipping.Norm(mean);
        _optimizer.Step(adapter, mean, rate, GradientClipping.Factor(norm, plan.MaxGradientNorm));
        return (norm, rate);
    }

    // The longest first: on two threads the other two take as long as that one.
    private (string Optimizer, string Adapter, string Gradient) Hashes(float[] adapter, ReadOnlyMemory<float> gradient)
    {
        if (adapter.Length < LeastFloatsForThreads)
        {
            return (Sha256, AdapterHash.Sha256(adapter), AdapterHash.Sha256(gradient.Span));
        }

        var (optimizerSha256, adapterSha256, gradientSha256) = ("", "", "");
        Parallel.Invoke(
            () => optimizerSha256 = Sha256, () => adapterSha256 = AdapterHash.Sha256(adapter), () => gradientSha256 = AdapterHash.Sha256(gradient.Span));
        return (optimizerSha256, adapterSha256, gradientSha256);
    }
}
