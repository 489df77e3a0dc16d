namespace DistTune.Modeling.Gradients;

/// <summary>
/// A value of the forward pass. It lives as long as someone holds it: the code that made it (until <see cref="Dispose"/>) and every
/// recorded step whose derivative reads it.
/// </summary>
/// <param name="value">The value; owned.</param>
/// <param name="needsGradient">Whether the gradient with respect to it is asked for.</param>
internal sealed class Node(Tensor value, bool needsGradient) : IDisposable
{
    private int _holds = 1;
    private Tensor? _gradient;

    /// <summary>The value.</summary>
    public Tensor Value { get; } = value;

    /// <summary>Whether the gradient with respect to the value is asked for.</summary>
    public bool NeedsGradient { get; } = needsGradient;

    /// <summary>One more holder.</summary>
    public Node Hold()
    {
        _holds++;
        return this;
    }

    /// <summary>One holder fewer; the last one frees the value.</summary>
    public void Dispose()
    {
        if (--_holds == 0)
        {
            Value.Dispose();
        }
    }

    /// <summary>Adds a gradient; owned, and possibly changed, from now on.</summary>
    public void AddGradient(Tensor gradient)
    {
        if (_gradient is null)
        {
            _gradient = gradient;
            return;
        }

        _gradient.add_(gradient);
        gradient.Dispose();
    }

    /// <summary>Hands out the gradient that has come together; null if there is none.</summary>
    public Tensor? TakeGradient()
    {
        var gradient = _gradient;
        _gradient = null;
        return gradient;
    }
}
