using System.Collections.Immutable;

namespace DistTune.Modeling.Adapters;

/// <summary>Tensors that an adapter on a base brings along, on the base's device.</summary>
internal sealed class OwnedTensors(Device device) : IDisposable
{
    private readonly List<Tensor> _tensors = [];

    /// <summary>All of them.</summary>
    public ImmutableArray<Tensor> All => [.. _tensors];

    /// <summary>Takes over a tensor, moved to the device if need be. It outlives every scope it may be made in.</summary>
    public Tensor Add(Tensor tensor)
    {
        tensor.DetachFromDisposeScope();
        if (tensor.device.type != device.type)
        {
            var moved = tensor.to(device);
            moved.DetachFromDisposeScope();
            tensor.Dispose();
            tensor = moved;
        }

        _tensors.Add(tensor);
        return tensor;
    }

    /// <summary>Frees all of them.</summary>
    public void Dispose() => _tensors.ForEach(tensor => tensor.Dispose());
}
