using System.Diagnostics;
using DistTune.Modeling.Kernels;

namespace DistTune.Modeling.Gradients;

/// <summary>For passes that compute values only; nothing may arrive here.</summary>
internal sealed class NoGradients : IParameterGradients
{
    /// <summary>The only one.</summary>
    public static NoGradients Instance { get; } = new();

    private NoGradients()
    {
    }

    /// <inheritdoc/>
    public void Add(int entry, Tensor gradient) => throw new UnreachableException("A pass without gradients produced one.");
}
