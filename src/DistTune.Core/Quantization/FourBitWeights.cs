using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using DistTune.Core.Formats;

namespace DistTune.Core.Quantization;

/// <summary>A folder that bitsandbytes' layout has 4-bit weights in. The parts of such a weight appear as the one weight they make up.</summary>
internal sealed class FourBitWeights : IFourBitWeights
{
    private readonly IWeightSource _source;
    private readonly FrozenDictionary<string, FourBitState> _states;
    private readonly FrozenDictionary<string, WeightInfo> _infos;

    private FourBitWeights(IWeightSource source, Dictionary<string, FourBitState> states)
    {
        _source = source;
        _states = states.ToFrozenDictionary(StringComparer.Ordinal);
        Weights = [.. source.Weights.Where(weight => !IsPart(weight.Name)).Select(Logical)];
        _infos = Weights.ToFrozenDictionary(weight => weight.Name, StringComparer.Ordinal);
    }

    /// <inheritdoc/>
    public ImmutableArray<WeightInfo> Weights { get; }

    /// <summary>Sees 4-bit weights in a source; the source itself if there are none. Takes the source over.</summary>
    /// <exception cref="DistTuneException">A weight's parts do not fit together.</exception>
    public static IWeightSource Over(IWeightSource source)
    {
        var states = new Dictionary<string, FourBitState>(StringComparer.Ordinal);
        try
        {
            foreach (var info in source.Weights)
            {
                if (FourBitKeys.WeightOf(info.Name) is { } weight)
                {
                    var state = FourBitKeys.Read(source, info.Name);
                    CheckParts(source, weight, state);
                    states.Add(weight, state);
                }
            }

            return states.Count == 0 ? source : new FourBitWeights(source, states);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public WeightInfo? Find(string name) => _infos.GetValueOrDefault(name);

    /// <inheritdoc/>
    public FourBitState? FindFourBit(string name) => _states.GetValueOrDefault(name);

    /// <inheritdoc/>
    public FourBitState ReadFourBit(string name, FourBitBytes bytes)
    {
        var state = _states[name];
        _source.ReadRaw(name, bytes.Packed);
        _source.ReadRaw(name + FourBitKeys.Scales, bytes.Scales);
        if (state.Nested is not null)
        {
            _source.ReadRaw(name + FourBitKeys.NestedScales, MemoryMarshal.AsBytes(bytes.Nested));
        }

        return state;
    }

    /// <inheritdoc/>
    public void ReadFloat32(string name, Span<float> destination)
    {
        if (!_states.TryGetValue(name, out var state))
        {
            _source.ReadFloat32(name, destination);
            return;
        }

        if (destination.Length != state.Length)
        {
            throw new ArgumentException($"'{name}' has length {state.Length}; the destination has {destination.Length}.", nameof(destination));
        }

        var bytes = new FourBitBytes
        {
            Packed = new byte[state.PackedBytes],
            Scales = new byte[state.ScaleBytes],
            Nested = new float[state.NestedCount],
        };
        FourBitTensor.Dequantize(ReadFourBit(name, bytes), bytes, 0, destination);
    }

    /// <inheritdoc/>
    public void ReadRaw(string name, Span<byte> destination)
    {
        if (_states.ContainsKey(name))
        {
            throw new ArgumentException($"'{name}' is held in four bits and has no values of its own to read.", nameof(name));
        }

        _source.ReadRaw(name, destination);
    }

    /// <inheritdoc/>
    public void Dispose() => _source.Dispose();

    private static void CheckParts(IWeightSource source, string weight, FourBitState state)
    {
        // The bytes may be labelled as any type (quant_storage); how many there are is what counts.
        Expect(source, weight, state.PackedBytes, type: null);
        Expect(source, weight + FourBitKeys.Scales, state.ScaleBytes, state.Nested is null ? WeightType.Float32 : WeightType.UInt8);
        ExpectMap(source, weight + FourBitKeys.Map, CodeBook.Of(state.Kind));
        if (state.Nested is not null)
        {
            Expect(source, weight + FourBitKeys.NestedScales, state.NestedCount * sizeof(float), WeightType.Float32);
            ExpectMap(source, weight + FourBitKeys.NestedMap, CodeBook.Dynamic);
        }
    }

    private static void Expect(IWeightSource source, string name, long bytes, WeightType? type)
    {
        var info = source.Find(name) ?? throw FourBitKeys.Fault(name, "it is missing");
        if ((type is not null && info.Type != type) || info.Type is WeightType.Other or WeightType.Quantized || info.Length * WeightConversion.SizeOf(info.Type) != bytes)
        {
            throw FourBitKeys.Fault(name, $"it is {info.Type} [{string.Join(", ", info.Shape)}], expected {bytes} bytes{(type is null ? "" : $" of {type}")}");
        }
    }

    private static void ExpectMap(IWeightSource source, string name, CodeBook book)
    {
        Expect(source, name, book.Values.Length * sizeof(float), WeightType.Float32);
        var values = new float[book.Values.Length];
        source.ReadFloat32(name, values);
        if (!values.AsSpan().SequenceEqual(book.Values.AsSpan()))
        {
            throw FourBitKeys.Fault(name, "its codes stand for other values");
        }
    }

    private bool IsPart(string name)
    {
        if (FourBitKeys.WeightOf(name) is not null)
        {
            return true;
        }

        foreach (var suffix in (ReadOnlySpan<string>)[FourBitKeys.Scales, FourBitKeys.Map, FourBitKeys.NestedScales, FourBitKeys.NestedMap])
        {
            if (name.EndsWith(suffix, StringComparison.Ordinal) && _states.ContainsKey(name[..^suffix.Length]))
            {
                return true;
            }
        }

        return false;
    }

    private WeightInfo Logical(WeightInfo stored) =>
        _states.TryGetValue(stored.Name, out var state) ? new WeightInfo(stored.Name, WeightType.Quantized, state.Shape) : stored;
}
