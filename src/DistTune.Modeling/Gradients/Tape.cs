namespace DistTune.Modeling.Gradients;

/// <summary>
/// The derivatives of a piece of the forward pass, in the order they were computed. Torch's own autograd would keep a wide copy of
/// every bfloat16 weight and gradients of frozen ones; this keeps only what the next derivative reads and frees it right after.
/// </summary>
internal sealed class Tape : IDisposable
{
    private readonly Stack<Step> _steps = new();

    /// <summary>Derivative of one step: takes the gradient of its output, which it owns, and adds to those of its inputs.</summary>
    public delegate void Derivative(Tensor gradient);

    /// <summary>Records a step.</summary>
    /// <param name="output">What the step computed.</param>
    /// <param name="derivative">Its derivative.</param>
    /// <param name="reads">Values the derivative reads; held until it has run.</param>
    public void Record(Node output, Derivative derivative, params ReadOnlySpan<IDisposable?> reads) =>
        _steps.Push(new Step(output.Hold(), derivative, [.. reads]));

    /// <summary>Runs the derivatives backward from <paramref name="output"/>.</summary>
    /// <param name="output">The last value.</param>
    /// <param name="gradient">Its gradient; owned.</param>
    public void Backward(Node output, Tensor gradient)
    {
        output.AddGradient(gradient);
        while (_steps.TryPop(out var step))
        {
            if (step.Output.TakeGradient() is { } stepGradient)
            {
                step.Derivative(stepGradient);
            }

            step.Release();
        }
    }

    /// <summary>Frees what is still held.</summary>
    public void Dispose()
    {
        while (_steps.TryPop(out var step))
        {
            step.Release();
        }
    }

    private readonly record struct Step(Node Output, Derivative Derivative, IDisposable?[] Reads)
    {
        public void Release()
        {
            Output.Dispose();
            foreach (var read in Reads)
            {
                read?.Dispose();
            }
        }
    }
}
