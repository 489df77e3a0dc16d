using System.Numerics;
using System.Runtime.CompilerServices;
using DistTune.Core.Training;

namespace DistTune.Core.Optimization;

/// <summary>
/// AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101) over one flat fp32 vector, in the operation order of torch's single-tensor
/// implementation. Every operation is element-wise and correctly rounded, and multiply and add are never fused, so the result is the
/// same bits on any vector width and for any number of threads.
/// </summary>
public sealed class AdamW : IOptimizer
{
    private readonly ParameterLayout _layout;
    private readonly OptimizerSettings _settings;
    private readonly float[] _firstMoment;
    private readonly float[] _secondMoment;

    /// <summary>Creates an optimizer whose moments are zero.</summary>
    /// <exception cref="OverflowException">The layout is longer than one array can be.</exception>
    public AdamW(ParameterLayout layout, OptimizerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        _layout = layout;
        _settings = settings;
        _firstMoment = new float[checked((int)layout.Length)];
        _secondMoment = new float[_firstMoment.Length];
    }

    /// <inheritdoc/>
    public int StepCount { get; private set; }

    /// <summary>The moving average of gradients, in the layout's order.</summary>
    public ReadOnlyMemory<float> FirstMoment => _firstMoment;

    /// <summary>The moving average of squared gradients, in the layout's order.</summary>
    public ReadOnlyMemory<float> SecondMoment => _secondMoment;

    /// <inheritdoc/>
    public void Restore(int stepCount, ReadOnlySpan<float> firstMoment, ReadOnlySpan<float> secondMoment)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(stepCount);
        RequireLength(firstMoment.Length, nameof(firstMoment));
        RequireLength(secondMoment.Length, nameof(secondMoment));
        StepCount = stepCount;
        firstMoment.CopyTo(_firstMoment);
        secondMoment.CopyTo(_secondMoment);
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">A vector does not have the layout's length.</exception>
    public void Step(Span<float> parameters, ReadOnlySpan<float> gradient, double learningRate, double gradientFactor = 1.0)
    {
        RequireLength(parameters.Length, nameof(parameters));
        RequireLength(gradient.Length, nameof(gradient));
        StepCount++;
        foreach (var entry in _layout.Entries)
        {
            var range = new Range((int)entry.Offset, (int)(entry.Offset + entry.Length));
            var rate = learningRate * entry.LearningRateScale;
            var factors = new StepFactors(_settings, rate, entry.WeightDecay ? _settings.WeightDecay : 0, StepCount, gradientFactor);
            Update(parameters[range], gradient[range], _firstMoment.AsSpan(range), _secondMoment.AsSpan(range), in factors);
        }
    }

    // Compiled once and fully: a coordinator that comes back takes steps again before anything has been called often.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Update(Span<float> parameters, ReadOnlySpan<float> gradient, Span<float> first, Span<float> second, in StepFactors f)
    {
        var width = Vector<float>.Count;
        var whole = parameters.Length - (parameters.Length % width);
        for (var i = 0; i < whole; i += width)
        {
            var g = new Vector<float>(gradient[i..]) * f.Gradient;
            var m = new Vector<float>(first[i..]);
            var v = new Vector<float>(second[i..]);
            m += (g - m) * f.FirstNew;
            v = (v * f.SecondKept) + (g * g * f.SecondNew);
            var p = new Vector<float>(parameters[i..]) * f.Kept;
            p -= m * f.StepSize / ((Vector.SquareRoot(v) / f.SecondCorrection) + new Vector<float>(f.Epsilon));
            m.CopyTo(first[i..]);
            v.CopyTo(second[i..]);
            p.CopyTo(parameters[i..]);
        }

        for (var i = whole; i < parameters.Length; i++)
        {
            var g = gradient[i] * f.Gradient;
            var m = first[i];
            m += (g - m) * f.FirstNew;
            var v = (second[i] * f.SecondKept) + (g * g * f.SecondNew);
            first[i] = m;
            second[i] = v;
            parameters[i] = (parameters[i] * f.Kept) - (m * f.StepSize / ((MathF.Sqrt(v) / f.SecondCorrection) + f.Epsilon));
        }
    }

    private void RequireLength(int length, string name)
    {
        if (length != _firstMoment.Length)
        {
            throw new ArgumentException($"{name} has {length} floats; the layout has {_firstMoment.Length}.", name);
        }
    }

    // Scalars are made in double, as Python does, and rounded once to the fp32 that the tensors are in.
    private readonly struct StepFactors(OptimizerSettings settings, double rate, double decay, int step, double gradientFactor)
    {
        public readonly float Gradient = (float)gradientFactor;
        public readonly float Kept = (float)(1.0 - (rate * decay));
        public readonly float FirstNew = (float)(1.0 - settings.Beta1);
        public readonly float SecondKept = (float)settings.Beta2;
        public readonly float SecondNew = (float)(1.0 - settings.Beta2);
        public readonly float StepSize = (float)(rate / (1.0 - Math.Pow(settings.Beta1, step)));
        public readonly float SecondCorrection = (float)Math.Sqrt(1.0 - Math.Pow(settings.Beta2, step));
        public readonly float Epsilon = (float)settings.Epsilon;
    }
}
