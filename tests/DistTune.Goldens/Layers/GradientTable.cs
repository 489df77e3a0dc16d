using DistTune.Modeling.Kernels;

namespace DistTune.Goldens.Layers;

/// <summary>Keeps gradients by entry.</summary>
internal sealed class GradientTable : IParameterGradients
{
    private readonly Dictionary<int, Tensor> _gradients = [];

    /// <summary>The gradient of an entry.</summary>
    public Tensor this[int entry] => _gradients[entry];

    /// <inheritdoc/>
    public void Add(int entry, Tensor gradient) =>
        // It outlives the kernel's scope; the case's own scope or the finalizer frees it.
        _gradients[entry] = _gradients.TryGetValue(entry, out var sum) ? sum.add_(gradient) : gradient.MoveToOuterDisposeScope();
}
