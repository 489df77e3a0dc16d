using System.Runtime.InteropServices;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Optimization;

/// <summary>
/// AdamW whose moments are held in eight bits (Dettmers et al. 2021, arXiv:2110.02861), blockwise within each tensor, in the operation
/// order of bitsandbytes. Tensors below <see cref="LeastElements"/> keep fp32 moments. Element-wise and serial, so that the result is the
/// same bits everywhere.
/// </summary>
/// <remarks>A moment lies in one vector, tensor after tensor: a tensor's codes, four in a float, and then its scales; or its values.</remarks>
public sealed class AdamW8Bit : IOptimizer
{
    /// <summary>Elements that share a scale.</summary>
    public const int BlockSize = 256;

    /// <summary>Tensors with fewer elements keep fp32 moments.</summary>
    public const int LeastElements = 4096;

    private const int CodesInFloat = sizeof(float);

    private readonly ParameterLayout _layout;
    private readonly OptimizerSettings _settings;
    private readonly int[] _starts;
    private readonly float[] _first;
    private readonly float[] _second;

    /// <summary>Creates an optimizer whose moments are zero.</summary>
    /// <exception cref="OverflowException">The moments are longer than one array can be.</exception>
    public AdamW8Bit(ParameterLayout layout, OptimizerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        _layout = layout;
        _settings = settings;
        _starts = new int[layout.Entries.Length];
        var length = 0;
        for (var index = 0; index < _starts.Length; index++)
        {
            _starts[index] = length;
            length = checked((int)(length + MomentLength(layout.Entries[index].Length)));
        }

        _first = new float[length];
        _second = new float[length];
    }

    /// <inheritdoc/>
    public int StepCount { get; private set; }

    /// <inheritdoc/>
    public ReadOnlyMemory<float> FirstMoment => _first;

    /// <inheritdoc/>
    public ReadOnlyMemory<float> SecondMoment => _second;

    /// <summary>Floats that a moment of a tensor takes.</summary>
    public static long MomentLength(long elements) => elements < LeastElements ? elements : CodeFloats(elements) + Blocks(elements);

    /// <summary>Copies of codes and scales of a tensor's moments; empty if they are held in fp32.</summary>
    /// <param name="entry">The tensor's index in the layout.</param>
    /// <param name="second">Whether that of squared gradients is meant.</param>
    public (byte[] Codes, float[] Scales) Moment(int entry, bool second)
    {
        var moment = MomentOf(second ? _second : _first, entry);
        return (moment.Codes.ToArray(), moment.Scales.ToArray());
    }

    /// <inheritdoc/>
    public void Restore(int stepCount, ReadOnlySpan<float> firstMoment, ReadOnlySpan<float> secondMoment)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(stepCount);
        if (firstMoment.Length != _first.Length || secondMoment.Length != _second.Length)
        {
            throw new ArgumentException($"The moments have {firstMoment.Length} and {secondMoment.Length} floats; {_first.Length} are expected.", nameof(firstMoment));
        }

        StepCount = stepCount;
        firstMoment.CopyTo(_first);
        secondMoment.CopyTo(_second);
    }

    /// <inheritdoc/>
    public void Step(Span<float> parameters, ReadOnlySpan<float> gradient, double learningRate, double gradientFactor = 1.0)
    {
        if (parameters.Length != _layout.Length || gradient.Length != _layout.Length)
        {
            throw new ArgumentException($"The vectors have {parameters.Length} and {gradient.Length} floats; the layout has {_layout.Length}.", nameof(parameters));
        }

        StepCount++;
        for (var index = 0; index < _starts.Length; index++)
        {
            var entry = _layout.Entries[index];
            var range = new Range((int)entry.Offset, (int)(entry.Offset + entry.Length));
            var rate = learningRate * entry.LearningRateScale;
            var factors = new Factors(_settings, rate, entry.WeightDecay ? _settings.WeightDecay : 0, StepCount, gradientFactor);
            Update(parameters[range], gradient[range], MomentOf(_first, index), MomentOf(_second, index), in factors);
        }
    }

    private static long CodeFloats(long elements) => (elements + CodesInFloat - 1) / CodesInFloat;

    private static long Blocks(long elements) => (elements + BlockSize - 1) / BlockSize;

    private Moments MomentOf(float[] moment, int entry)
    {
        var length = (int)_layout.Entries[entry].Length;
        return new Moments(moment.AsSpan(_starts[entry], (int)MomentLength(length)), length);
    }

    private static void Update(Span<float> parameters, ReadOnlySpan<float> gradient, Moments firstMoment, Moments secondMoment, in Factors f)
    {
        Span<float> first = stackalloc float[BlockSize];
        Span<float> second = stackalloc float[BlockSize];
        for (var start = 0; start < parameters.Length; start += BlockSize)
        {
            var count = Math.Min(BlockSize, parameters.Length - start);
            firstMoment.Load(start, first[..count], CodeBook.Dynamic);
            secondMoment.Load(start, second[..count], CodeBook.DynamicUnsigned);
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

            firstMoment.Store(start, first[..count], CodeBook.Dynamic);
            secondMoment.Store(start, second[..count], CodeBook.DynamicUnsigned);
        }
    }

    // One moment of one tensor: codes and a scale a block, or a value each.
    private readonly ref struct Moments
    {
        private readonly Span<float> _values;

        public Moments(Span<float> state, int length)
        {
            if (length < LeastElements)
            {
                _values = state;
                return;
            }

            var codes = (int)CodeFloats(length);
            Codes = MemoryMarshal.AsBytes(state[..codes])[..length];
            Scales = state[codes..];
        }

        public Span<byte> Codes { get; }

        public Span<float> Scales { get; }

        public void Load(int start, Span<float> values, CodeBook book)
        {
            if (Codes.IsEmpty)
            {
                _values.Slice(start, values.Length).CopyTo(values);
                return;
            }

            EightBitBlocks.Dequantize(Codes.Slice(start, values.Length), Scales.Slice(start / BlockSize, 1), book, BlockSize, values);
        }

        public void Store(int start, ReadOnlySpan<float> values, CodeBook book)
        {
            if (Codes.IsEmpty)
            {
                values.CopyTo(_values[start..]);
                return;
            }

            EightBitBlocks.Quantize(values, book, BlockSize, Codes.Slice(start, values.Length), Scales.Slice(start / BlockSize, 1));
        }
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
