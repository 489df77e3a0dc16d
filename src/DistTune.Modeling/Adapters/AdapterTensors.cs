using System.Runtime.InteropServices;
using DistTune.Core;
using DistTune.Core.Training;

namespace DistTune.Modeling.Adapters;

/// <summary>A trained tensor that a module was found for.</summary>
/// <param name="Index">Its index in the parameter layout.</param>
/// <param name="Entry">What it is.</param>
/// <param name="Adapter">The adapter it is of.</param>
internal readonly record struct TrainedTensor(int Index, ParameterEntry Entry, AdapterTensors Adapter);

/// <summary>The tensors of an adapter by module and role; each is taken once, and what nobody takes is a fault.</summary>
internal sealed class AdapterTensors
{
    private readonly ReadOnlyMemory<float> _values;
    private readonly Dictionary<(string Module, TensorRole Role), (int Index, ParameterEntry Entry)> _unused;

    /// <summary>Opens an adapter's values.</summary>
    /// <exception cref="DistTuneException">The values do not fit the layout.</exception>
    public AdapterTensors(LoadedAdapter adapter)
    {
        RequireLength(adapter.Layout, adapter.Version);
        Settings = adapter.Settings;
        Weight = adapter.Weight;
        _values = adapter.Version.Values;
        _unused = adapter.Layout.Entries.Select((entry, index) => (index, entry)).ToDictionary(pair => (pair.entry.Module, pair.entry.Role));
    }

    /// <summary>What the adapter is.</summary>
    public AdapterSettings Settings { get; }

    /// <summary>Factor on what it adds.</summary>
    public double Weight { get; }

    /// <summary>Refuses values of another layout.</summary>
    /// <exception cref="DistTuneException">The values do not fit the layout.</exception>
    public static void RequireLength(ParameterLayout layout, AdapterVersion version)
    {
        if (version.Values.Length != layout.Length)
        {
            throw new DistTuneException(FaultKind.Failed, $"Adapter version {version.Sha256} has {version.Values.Length} values; the layout has {layout.Length}. Use the version of this run.");
        }
    }

    /// <summary>The tensor that a module has in a role, or null; it cannot be taken again.</summary>
    public TrainedTensor? Take(string module, TensorRole role) =>
        _unused.Remove((module, role), out var found) ? new TrainedTensor(found.Index, found.Entry, this) : null;

    /// <summary>A copy of a tensor's values in host memory, fp32; the caller's to free.</summary>
    /// <exception cref="DistTuneException">It has another shape than the module needs.</exception>
    public Tensor Copy(ParameterEntry entry, params ReadOnlySpan<long> shape)
    {
        if (!entry.Shape.AsSpan().SequenceEqual(shape))
        {
            throw new DistTuneException(FaultKind.Configuration, $"The adapter's '{entry.Name}' has shape [{string.Join(", ", entry.Shape)}]; the base's module needs [{string.Join(", ", shape.ToArray())}]. Build the layout from this base.");
        }

        var tensor = torch.empty([.. entry.Shape], dtype: ScalarType.Float32, device: torch.CPU);
        MemoryMarshal.AsBytes(_values.Span.Slice(checked((int)entry.Offset), checked((int)entry.Length))).CopyTo(tensor.bytes);
        return tensor;
    }

    /// <summary>Refuses what no module took.</summary>
    /// <exception cref="DistTuneException">Something is left.</exception>
    public void RequireAllTaken()
    {
        if (_unused.Count > 0)
        {
            var name = _unused.Values.Select(tensor => tensor.Entry.Name).Order(StringComparer.Ordinal).First();
            throw new DistTuneException(FaultKind.Configuration, $"The adapter has the tensor '{name}', which fits no module of the base. Build the layout from this base.");
        }
    }
}
