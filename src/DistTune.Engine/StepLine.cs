using System.Globalization;

namespace DistTune.Engine;

/// <summary>An optimizer step as one line for people; the same on the command line and in the coordinator's log.</summary>
public static class StepLine
{
    /// <summary>Loss, learning rate, gradient norm, speed, what is left, and who computes.</summary>
    public static string Describe(StepFinished step)
    {
        ArgumentNullException.ThrowIfNull(step);
        var done = step.Record.Step + 1;
        var left = TimeSpan.FromSeconds(Math.Max(0, (step.Steps - done) * step.ElapsedSeconds / (done - step.ResumedAt)));
        var speed = step.StepSeconds > 0 ? step.Record.TotalTokens / step.StepSeconds : 0;
        return FormattableString.Invariant(
            $"Step {done}/{step.Steps}  epoch {step.Epoch:0.00}  loss {step.Record.Loss:0.0000}  lr {step.Record.LearningRate:0.00e0}  norm {step.Record.GradientNorm:0.000}  {speed:0} tok/s  eta {Duration(left)}  workers {step.Workers}");
    }

    private static string Duration(TimeSpan time) =>
        time.ToString(time.TotalHours >= 1 ? @"h\:mm\:ss" : @"m\:ss", CultureInfo.InvariantCulture);
}
