using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using DistTune.Core.Formats;
using DistTune.Core.Models;

namespace DistTune.Core.Quantization;

/// <summary>
/// Quantises weights as they are read: the linear modules of the layers. Embeddings, norms and the output head stay as they are.
/// Not for several threads at once.
/// </summary>
public sealed unsafe class QuantizingWeights : IFourBitWeights
{
    private readonly IWeightSource _source;
    private readonly FourBitSettings _settings;
    private readonly FrozenSet<string> _names;
    private readonly bool _ownsSource;
    private float* _values;
    private nuint _capacity;

    /// <summary>Quantises the weights of a source.</summary>
    /// <param name="source">The weights in full.</param>
    /// <param name="spec">Which of them are linear modules of layers.</param>
    /// <param name="settings">How.</param>
    /// <param name="ownsSource">Whether to dispose the source together with this.</param>
    public QuantizingWeights(IWeightSource source, DecoderSpec spec, FourBitSettings settings, bool ownsSource = true)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(settings);
        _source = source;
        _settings = settings;
        _ownsSource = ownsSource;
        _names = FourBitModules.Of(spec).ToFrozenSet(StringComparer.Ordinal);
    }

    /// <inheritdoc/>
    public ImmutableArray<WeightInfo> Weights => _source.Weights;

    /// <inheritdoc/>
    public WeightInfo? Find(string name) => _source.Find(name);

    /// <inheritdoc/>
    public FourBitState? FindFourBit(string name) =>
        _names.Contains(name) && _source.Find(name) is { } info ? FourBitTensor.EmptyState(info.Shape, ValueType(info.Type), _settings) : null;

    /// <inheritdoc/>
    public FourBitState ReadFourBit(string name, FourBitBytes bytes)
    {
        var info = _source.Find(name)!;
        var values = Buffer(checked((int)info.Length));
        _source.ReadFloat32(name, values);
        try
        {
            return FourBitTensor.Quantize(values, info.Shape, ValueType(info.Type), _settings, bytes);
        }
        catch (DistTuneException fault)
        {
            throw new DistTuneException(fault.Kind, $"{name}: {fault.Message}", fault);
        }
    }

    /// <inheritdoc/>
    public void ReadFloat32(string name, Span<float> destination) => _source.ReadFloat32(name, destination);

    /// <inheritdoc/>
    public void ReadRaw(string name, Span<byte> destination) => _source.ReadRaw(name, destination);

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.Free(_values);
        _values = null;
        _capacity = 0;
        if (_ownsSource)
        {
            _source.Dispose();
        }
    }

    // What the reference would restore the values to; block types are widened to fp32 when read.
    internal static WeightType ValueType(WeightType type) => type is WeightType.BFloat16 or WeightType.Float16 ? type : WeightType.Float32;

    // One buffer for one matrix after the other, outside of the managed heap, which would keep it.
    private Span<float> Buffer(int length)
    {
        if (_capacity < (nuint)length)
        {
            NativeMemory.Free(_values);
            _capacity = 0;
            _values = (float*)NativeMemory.Alloc((nuint)length, sizeof(float));
            _capacity = (nuint)length;
        }

        return new Span<float>(_values, length);
    }
}
