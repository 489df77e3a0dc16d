using DistTune.Core.Training;

namespace DistTune.Goldens;

/// <summary>Gathers a group's gradient in a flat vector.</summary>
internal sealed class VectorSink(ParameterLayout layout) : IGradientSink
{
    /// <summary>The gradient of the loss sum.</summary>
    public float[] Values { get; } = new float[layout.Length];

    /// <inheritdoc/>
    public void Write(long offset, ReadOnlySpan<float> values) => values.CopyTo(Values.AsSpan(checked((int)offset)));

    /// <inheritdoc/>
    public void Progress()
    {
    }
}
