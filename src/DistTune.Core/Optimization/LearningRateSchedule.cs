using System.Diagnostics;
using DistTune.Core.Training;

namespace DistTune.Core.Optimization;

/// <summary>
/// The learning rate of every optimizer step, with the semantics of transformers: with a linear warmup step 0 has rate 0 and step
/// <c>warmup</c> the full rate. Formulas are evaluated in double.
/// </summary>
/// <param name="settings">Kind, base rate, warmup and total.</param>
public sealed class LearningRateSchedule(ScheduleSettings settings)
{
    private readonly ScheduleOptions _options = settings.Options;

    /// <summary>The rate that optimizer step <paramref name="step"/> (from 0) uses. Steps past the end are allowed.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="step"/> is negative.</exception>
    public double RateAt(int step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        return settings.LearningRate * Factor(step);
    }

    /// <summary>
    /// Number of warmup steps from an option in transformers' convention: a value of at least 1 is a number of steps (its fraction is cut
    /// off), a smaller one is a share of the total, rounded up.
    /// </summary>
    public static int WarmupSteps(double option, int totalSteps)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(option);
        return option >= 1 ? checked((int)option) : (int)Math.Ceiling(totalSteps * option);
    }

    private double Factor(int step)
    {
        if (settings.Kind is ScheduleKind.Constant)
        {
            return 1;
        }

        if (step < settings.WarmupSteps)
        {
            return Warmup(step);
        }

        var progress = (double)(step - settings.WarmupSteps) / Math.Max(1, settings.TotalSteps - settings.WarmupSteps);
        return settings.Kind switch
        {
            ScheduleKind.ConstantWithWarmup => 1,
            ScheduleKind.Linear => Math.Max(0, (double)(settings.TotalSteps - step) / Math.Max(1, settings.TotalSteps - settings.WarmupSteps)),
            ScheduleKind.Cosine => Math.Max(0, HalfCosine((_options.Cycles ?? 0.5) * 2 * progress)),
            ScheduleKind.CosineWithRestarts => progress >= 1 ? 0 : Math.Max(0, HalfCosine((_options.Cycles ?? 1) * progress % 1)),
            ScheduleKind.CosineWithMinimum => Math.Max(0, AboveMinimum(HalfCosine((_options.Cycles ?? 0.5) * 2 * progress))),
            ScheduleKind.CosineWarmupWithMinimum => CosineFromNextStep(step),
            ScheduleKind.Polynomial => Polynomial(step),
            ScheduleKind.InverseSquareRoot => InverseSquareRoot(step),
            ScheduleKind.WarmupStableDecay => StableDecay(step),
            _ => throw new UnreachableException($"The schedule {settings.Kind} has no formula."),
        };
    }

    private double Warmup(int step)
    {
        var progress = (double)step / Math.Max(1, settings.WarmupSteps);
        return settings.Kind switch
        {
            // This kind is one step ahead of the others: step 0 already moves.
            ScheduleKind.CosineWarmupWithMinimum => _options.WarmupStartShare is { } start
                ? start + ((1 - start) * step / Math.Max(1, settings.WarmupSteps - 1))
                : (step + 1.0) / Math.Max(1, settings.WarmupSteps),
            ScheduleKind.WarmupStableDecay => Math.Max(0, AboveMinimum(_options.WarmupShape switch
            {
                RampShape.Linear => progress,
                RampShape.Cosine => HalfCosine(1 - progress),
                RampShape.OneMinusSquareRoot => 1 - Math.Sqrt(1 - progress),
                _ => throw new UnreachableException($"The ramp {_options.WarmupShape} has no formula."),
            })),
            _ => progress,
        };
    }

    private double CosineFromNextStep(int step)
    {
        var progress = (step - settings.WarmupSteps + 1.0) / Math.Max(1, settings.TotalSteps - settings.WarmupSteps);
        return Math.Max(0, AboveMinimum(HalfCosine((_options.Cycles ?? 0.5) * 2 * progress)));
    }

    private double Polynomial(int step)
    {
        var end = _options.EndRate / settings.LearningRate;
        if (step > settings.TotalSteps)
        {
            return end;
        }

        // Warmup up to the very end leaves no step to decay over; the rate is then the full one at the last step.
        var decaySteps = Math.Max(1, settings.TotalSteps - settings.WarmupSteps);
        var remaining = 1 - ((double)(step - settings.WarmupSteps) / decaySteps);
        return ((1 - end) * Math.Pow(remaining, _options.Power)) + end;
    }

    private double InverseSquareRoot(int step)
    {
        double timescale = _options.Timescale ?? (settings.WarmupSteps > 0 ? settings.WarmupSteps : 10_000);
        return 1 / Math.Sqrt((step + timescale - settings.WarmupSteps) / timescale);
    }

    private double StableDecay(int step)
    {
        var decayStart = settings.TotalSteps - _options.DecaySteps;
        if (step < decayStart)
        {
            return 1;
        }

        if (step >= settings.TotalSteps)
        {
            return _options.MinimumShare;
        }

        var progress = (double)(step - decayStart) / Math.Max(1, _options.DecaySteps);
        return Math.Max(0, AboveMinimum(_options.DecayShape switch
        {
            RampShape.Linear => 1 - progress,
            RampShape.Cosine => HalfCosine((_options.Cycles ?? 0.5) * 2 * progress),
            RampShape.OneMinusSquareRoot => 1 - Math.Sqrt(progress),
            _ => throw new UnreachableException($"The ramp {_options.DecayShape} has no formula."),
        }));
    }

    private double AboveMinimum(double factor) => (factor * (1 - _options.MinimumShare)) + _options.MinimumShare;

    /// <summary>From 1 at 0 to 0 at 1.</summary>
    private static double HalfCosine(double halfTurns) => 0.5 * (1 + Math.Cos(Math.PI * halfTurns));
}
