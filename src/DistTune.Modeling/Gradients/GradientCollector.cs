using DistTune.Core.Training;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Gradients;

/// <summary>
/// Sums the gradients of trained tensors over the micro-batches of a group and hands each tensor on, once, when its layer is done.
/// </summary>
internal sealed class GradientCollector : IParameterGradients, IDisposable
{
    private readonly ParameterLayout _layout;
    private readonly IGradientSink _sink;
    private readonly ILookup<int, int> _entriesOfLayer;
    private readonly Tensor?[] _sums;

    /// <summary>Collects for one group.</summary>
    public GradientCollector(ParameterLayout layout, IGradientSink sink)
    {
        _layout = layout;
        _sink = sink;
        _sums = new Tensor?[layout.Entries.Length];
        _entriesOfLayer = Enumerable.Range(0, layout.Entries.Length).ToLookup(entry => layout.Entries[entry].Layer);
    }

    /// <inheritdoc/>
    public void Add(int entry, Tensor gradient)
    {
        if (_sums[entry] is { } sum)
        {
            sum.add_(gradient);
            gradient.Dispose();
            return;
        }

        // It outlives the scope of the kernel that made it.
        _sums[entry] = gradient.DetachFromDisposeScope();
    }

    /// <summary>Hands on the tensors of a layer; one that no trained token reached is all zero.</summary>
    /// <param name="layer">Decoder layer; -1 before the first, the layer count after the last.</param>
    public void Flush(int layer)
    {
        foreach (var entry in _entriesOfLayer[layer])
        {
            var offset = _layout.Entries[entry].Offset;
            if (_sums[entry] is { } sum)
            {
                HostMemory.Read(sum, (_sink, offset), static (values, target) => target._sink.Write(target.offset, values));
                sum.Dispose();
                _sums[entry] = null;
            }
            else
            {
                _sink.Write(offset, new float[_layout.Entries[entry].Length]);
            }
        }
    }

    /// <summary>Frees what has not been handed on.</summary>
    public void Dispose()
    {
        foreach (var sum in _sums)
        {
            sum?.Dispose();
        }
    }
}
