using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Optimization;

/// <summary>
/// AdamW whose moments are held in eight bits (Dettmers et al. 2021, arXiv:2110.02861), blockwise within each tensor, in the operation
/// order of bitsandbytes. Tensors below <see cref="LeastElements"/> keep fp32 moments. Element-wise and serial, so that the result is the
/// same bits everywhere.
/// </summary>
public sealed class AdamW8Bit
{
    /// <summary>Elements that share a scale.</summary>
    public const int BlockSize = 256;

    /// <summary>Tensors with fewer elements keep fp32 moments.</summary>
    public const int LeastElements = 4096;

    private readonly ParameterLayout _layout;
    private readonly OptimizerSettings _settings;
    private readonly State[] _states;

    /// <summary>Creates an optimizer whose moments are zero.</summary>
    public AdamW8Bit(ParameterLayout layout, OptimizerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        _layout = layout;
        _settings = settings;
        _states = [.. layout.Entries.Select(entry => new State(checked((int)entry.Length)))];
    }

    /// <summary>Number of steps taken.</summary>
    public int StepCount { get; private set; }

    /// <summary>Codes and scales of a tensor's first moment; empty codes if it is held in fp32.</summary>
    public (ReadOnlyMemory<byte> Codes, ReadOnlyMemory<float> Scales) FirstMoment(int entry) => (_states[entry].First.Codes, _states[entry].First.Scales);

    /// <summary>Codes and scales of a tensor's second moment; empty codes if it is held in fp32.</summary>
    public (ReadOnlyMemory<byte> Codes, ReadOnlyMemory<float> Scales) SecondMoment(int entry) => (_states[entry].Second.Codes, _states[entry].Second.Scales);

    /// <summary>Takes one step: updates the moments and <paramref name="parameters"/>. Gaps of the layout stay untouched.</summary>
    /// <param name="parameters">The trained values, changed in place.</param>
    /// <param name="gradient">The gradient of the mean loss.</param>
    /// <param name="learningRate">The step's rate; entries scale it by <see cref="ParameterEntry.LearningRateScale"/>.</param>
    /// <param name="gradientFactor">Factor on the gradient before it is used, such as <see cref="GradientClipping.Factor"/>.</param>
    public void Step(Span<float> parameters, ReadOnlySpan<float> gradient, double learningRate, double gradientFactor = 1.0)
    {
        if (parameters.Length != _layout.Length || gradient.Length != _layout.Length)
        {
            throw new ArgumentException($"The vectors have {parameters.Length} and {gradient.Length} floats; the layout has {_layout.Length}.", nameof(parameters));
        }

        StepCount++;
        for (var index = 0; index < _states.Length; index++)
        {
            var entry = _layout.Entries[index];
            var range = new Range((int)entry.Offset, (int)(entry.Offset + entry.Length));
            var rate = learningRate * entry.LearningRateScale;
            var factors = new Factors(_settings, rate, entry.WeightDecay ? _settings.WeightDecay : 0, StepCount, gradientFactor);
            Update(parameters[range], gradient[range], _states[index], in factors);
        }
    }

    private static void Update(Span<float> parameters, ReadOnlySpan<float> gradient, State state, in Factors f)
    {
        Span<float> first = stackalloc float[BlockSize];
        Span<float> second = stackalloc float[BlockSize];
        for (var start = 0; start < parameters.Length; start += BlockSize)
        {
            var count = Math.Min(BlockSize, parameters.Length - start);
            state.First.Load(start, first[..count], CodeBook.Dynamic);
            state.Second.Load(start, second[..count], CodeBook.DynamicUnsigned);
            for (var i = 0; i < count; i++)
            {
                var g = gradient[start + i] * f.Gradient;
                var m = (first[i] * f.FirstKept) + (f.FirstNew * g);
                var v = (second[i] * f.SecondKept) + (f.SecondNew * g * g);
                first[i] = m;
                second[i] = v;
                var p = parameters[start + i] * f.Kept;
                parameters[start + i] = p - (f.StepSize * (m / ((MathF.Sqrt(v) / f.SecondCorrection) + f.Epsilon)));
            }

            state.First.Store(start, first[..count], CodeBook.Dynamic);
            state.Second.Store(start, second[..count], CodeBook.DynamicUnsigned);
        }
    }

    // One moment of one tensor: codes and a scale a block, or a value each.
    private sealed class Moment
    {
        public Moment(int length)
        {
            var quantized = length >= LeastElements;
            Codes = new byte[quantized ? length : 0];
            Scales = new float[quantized ? (length + BlockSize - 1) / BlockSize : 0];
            Values = new float[quantized ? 0 : length];
        }

        public byte[] Codes { get; }

        public float[] Scales { get; }

        private float[] Values { get; }

        public void Load(int start, Span<float> values, CodeBook book)
        {
            if (Codes.Length == 0)
            {
                Values.AsSpan(start, values.Length).CopyTo(values);
                return;
            }

            EightBitBlocks.Dequantize(Codes.AsSpan(start, values.Length), Scales.AsSpan(start / BlockSize, 1), book, BlockSize, values);
        }

        public void Store(int start, ReadOnlySpan<float> values, CodeBook book)
        {
            if (Codes.Length == 0)
            {
                values.CopyTo(Values.AsSpan(start));
                return;
            }

            EightBitBlocks.Quantize(values, book, BlockSize, Codes.AsSpan(start, values.Length), Scales.AsSpan(start / BlockSize, 1));
        }
    }

    private sealed class State(int length)
    {
        public Moment First { get; } = new(length);

        public Moment Second { get; } = new(length);
    }

    // Scalars are made in double, as Python does, and rounded once to the fp32 that the tensors are in.
    private readonly struct Factors(OptimizerSettings settings, double rate, double decay, int step, double gradientFactor)
    {
        public readonly float Gradient = (float)gradientFactor;
        public readonly float Kept = (float)(1.0 - (rate * decay));
        public readonly float FirstKept = (float)settings.Beta1;
        public readonly float FirstNew = (float)(1.0 - settings.Beta1);
        public readonly float SecondKept = (float)settings.Beta2;
        public readonly float SecondNew = (float)(1.0 - settings.Beta2);
        public readonly float StepSize = (float)(rate / (1.0 - Math.Pow(settings.Beta1, step)));
        public readonly float SecondCorrection = (float)Math.Sqrt(1.0 - Math.Pow(settings.Beta2, step));
        public readonly float Epsilon = (float)settings.Epsilon;
    }
}
