using System.Runtime.InteropServices;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Quantization;

namespace DistTune.Modeling.Adapters;

/// <summary>All weights of the base, read from a flat vector in which every one of them is trained.</summary>
internal sealed class FlatWeights(ParameterLayout layout, ReadOnlyMemory<float> values) : IWeightValues
{
    private readonly Dictionary<string, int> _entries = layout.Entries
        .Select((entry, index) => (entry.Name, index))
        .ToDictionary(pair => pair.Name, pair => pair.index, StringComparer.Ordinal);

    /// <inheritdoc/>
    public int? EntryOf(string name) => _entries.TryGetValue(name, out var entry) ? entry : null;

    /// <inheritdoc/>
    public FourBitMatrix? ReadFourBit(string name) => null;

    /// <inheritdoc/>
    public void Fill(string name, Tensor destination)
    {
        var entry = layout.Entries[_entries[name]];
        var source = values.Span.Slice(checked((int)entry.Offset), checked((int)entry.Length));
        MemoryMarshal.AsBytes(source).CopyTo(destination.bytes);
    }
}
