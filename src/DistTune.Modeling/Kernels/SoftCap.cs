namespace DistTune.Modeling.Kernels;

/// <summary>c * tanh(x / c): close to x where x is small, never beyond c (Gemma Team 2024, arXiv:2408.00118).</summary>
internal static class SoftCap
{
    /// <summary>The capped values, and tanh(x / c), which the derivative needs and which takes the place of x.</summary>
    public static (Tensor Y, Tensor Tanh) Forward(Tensor x, double cap)
    {
        var tanh = x.div_(cap).tanh_();
        return (tanh.mul(cap), tanh);
    }

    /// <summary>Turns the gradient of y into that of x, in place; tanh is used up.</summary>
    public static void Backward(Tensor gradient, Tensor tanh) => gradient.addcmul_(gradient, tanh.mul_(tanh), -1);
}
