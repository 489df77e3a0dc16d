using System.Diagnostics;
using DistTune.Core.Models;

namespace DistTune.Modeling.Kernels;

/// <summary>Non-linearities and their derivatives in plain torch operations; the caller's dispose scope frees what is left over.</summary>
internal static class TorchActivation
{
    // Cubic term of the tanh approximation of the normal distribution.
    private const double Cubic = 0.044715;

    /// <summary>f(x), a new tensor of x's type.</summary>
    public static Tensor Apply(Tensor x, Activation activation) => activation switch
    {
        Activation.Silu => x.sigmoid().mul_(x),
        Activation.Relu => x.relu(),
        Activation.Gelu or Activation.GeluTanh => Narrow(Gelu(Precision.Wide(x), activation), x),
        _ => throw new UnreachableException($"No kernel for the activation {activation}."),
    };

    /// <summary>f(x) and f'(x), new tensors of x's type.</summary>
    public static (Tensor Value, Tensor Slope) WithSlope(Tensor x, Activation activation)
    {
        switch (activation)
        {
            case Activation.Silu:
                // sigmoid + silu (1 - sigmoid).
                var sigmoid = x.sigmoid();
                var silu = sigmoid.mul(x);
                return (silu, silu.addcmul(silu, sigmoid, -1).add_(sigmoid));
            case Activation.Relu:
                return (x.relu(), x.gt(0).to(x.dtype));
            case Activation.Gelu or Activation.GeluTanh:
                var wide = Precision.Wide(x);
                return (Narrow(Gelu(wide, activation), x), Narrow(activation == Activation.Gelu ? ExactSlope(wide) : TanhSlope(wide), x));
            default:
                throw new UnreachableException($"No kernel for the activation {activation}.");
        }
    }

    private static Tensor Narrow(Tensor wide, Tensor like) => wide.to(like.dtype);

    // x / 2 * (1 + erf(x / sqrt(2))), or tanh in place of erf.
    private static Tensor Gelu(Tensor x, Activation activation) =>
        (activation == Activation.Gelu ? x.mul(Math.Sqrt(0.5)).erf() : Inner(x).tanh()).add_(1).mul_(x).mul_(0.5);

    // The distribution plus x times its density.
    private static Tensor ExactSlope(Tensor x)
    {
        var density = x.square().mul_(-0.5).exp_().mul_(1 / Math.Sqrt(2 * Math.PI));
        return x.mul(Math.Sqrt(0.5)).erf().add_(1).mul_(0.5).addcmul_(density, x, 1);
    }

    // With u = sqrt(2 / pi) (x + 0.044715 x^3): (1 + tanh u) / 2 + x / 2 (1 - tanh^2 u) u'.
    private static Tensor TanhSlope(Tensor x)
    {
        var tanh = Inner(x).tanh();
        var innerSlope = x.square().mul_(3 * Cubic).add_(1).mul_(Math.Sqrt(2 / Math.PI));
        var curved = tanh.square().neg_().add_(1).mul_(innerSlope).mul_(x);
        return curved.add_(tanh).add_(1).mul_(0.5);
    }

    private static Tensor Inner(Tensor x) => x.square().mul_(Cubic).add_(1).mul_(x).mul_(Math.Sqrt(2 / Math.PI));
}
