namespace DistTune.Modeling.Kernels;

/// <summary>c * tanh(x / c): close to x where x is small, never beyond c (Gemma Team 2024, arXiv:2408.00118).</summary>
internal static class SoftCap
{
    /// <summary>The capped values, and tanh(x / c), which the derivative needs. May change x.</summary>
    public static (Tensor Y, Tensor Tanh) Forward(Tensor x, double cap)
    {
        var tanh = x.div_(cap).tanh();
        return (tanh.mul(cap), tanh);
    }

    /// <summary>Turns the gradient of y into that of x, in place.</summary>
    public static void Backward(Tensor gradient, Tensor tanh)
    {
        using var scope = torch.NewDisposeScope();
        gradient.addcmul_(gradient, tanh.square(), -1);
    }
}
