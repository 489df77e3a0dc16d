using DistTune.Core;

namespace DistTune.Modeling.Loralib;

/// <summary>How a convolution moves over its input, the same in every dimension.</summary>
/// <param name="Stride">Step.</param>
/// <param name="Padding">Zeros on each side.</param>
/// <param name="Dilation">Distance of the kernel's elements.</param>
/// <param name="Groups">Groups of channels that do not mix.</param>
public sealed record ConvOptions(long Stride = 1, long Padding = 0, long Dilation = 1, long Groups = 1);

/// <summary>
/// A convolution with weight W + (alpha / r) (B A), where B A is laid out row by row in W's shape: A [r k, in k], B [out / groups * k, r k]
/// for kernel size k. There are as many elements as W has only in two dimensions, or for k = 1.
/// </summary>
public abstract class ConvLora : LoraLayer
{
    private readonly Tensor? _bias;
    private readonly Tensor? _a;
    private readonly Tensor? _b;

    /// <summary>Makes a layer; B starts at zero.</summary>
    /// <exception cref="DistTuneException">LoRA's product has not the weight's number of elements, or the groups do not divide the channels.</exception>
    private protected ConvLora(int dimensions, long inChannels, long outChannels, long kernelSize, LoraOptions options, ConvOptions? convolution, bool bias)
        : base(options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(inChannels, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(outChannels, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(kernelSize, 1);
        Convolution = convolution ?? new ConvOptions();
        var groups = Convolution.Groups;
        if (groups < 1 || inChannels % groups != 0 || outChannels % groups != 0)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                FormattableString.Invariant($"groups must divide in_channels and out_channels; got {groups}, {inChannels} and {outChannels}. Correct groups."));
        }

        if (HasLora && dimensions != 2 && kernelSize != 1)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                FormattableString.Invariant($"Conv{dimensions}d with LoRA has kernel size 1, got {kernelSize}: B A has {outChannels / groups * kernelSize * inChannels * kernelSize} elements and the weight {outChannels * (inChannels / groups) * Power(kernelSize, dimensions)}. Use kernel size 1, or r = 0."));
        }

        if (HasLora)
        {
            _a = Register("lora_A", InitialValues.Uniform(options.Seed, "lora_A", options.Rank * kernelSize, inChannels * kernelSize));
            _b = Register("lora_B", torch.zeros([outChannels / groups * kernelSize, options.Rank * kernelSize], ScalarType.Float32));
        }

        Weight = InitialValues.Uniform(options.Seed, "weight", [outChannels, inChannels / groups, .. Enumerable.Repeat(kernelSize, dimensions)]);
        _bias = bias ? InitialValues.Bias(options.Seed, inChannels / groups * Power(kernelSize, dimensions), outChannels) : null;
        // Below the layer, as in loralib, where it is a module of its own: its names begin with "conv.".
        Register("conv", _bias is null ? new PlainModule(("weight", Weight)) : new PlainModule(("weight", Weight), ("bias", _bias)));
        Weight.requires_grad = !HasLora;
    }

    /// <inheritdoc/>
    public override Tensor Weight { get; }

    /// <summary>Stride, padding, dilation, groups.</summary>
    public ConvOptions Convolution { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        return Convolve(x, HasLora && !Merged ? Add(Weight, Delta()) : Weight, _bias);
    }

    /// <inheritdoc/>
    protected override Tensor Delta() => _b!.mm(_a!).view(Weight.shape);

    /// <summary>The convolution itself.</summary>
    private protected abstract Tensor Convolve(Tensor x, Tensor weight, Tensor? bias);

    private static long Power(long value, int exponent) => Enumerable.Repeat(value, exponent).Aggregate(1L, (product, factor) => product * factor);
}

/// <summary>A convolution over [batch, channels, length]; with LoRA of kernel size 1 only.</summary>
public sealed class Conv1d(long inChannels, long outChannels, long kernelSize, LoraOptions options, ConvOptions? convolution = null, bool bias = true)
    : ConvLora(1, inChannels, outChannels, kernelSize, options, convolution, bias)
{
    private protected override Tensor Convolve(Tensor x, Tensor weight, Tensor? bias) =>
        torch.nn.functional.conv1d(x, weight, bias, Convolution.Stride, Convolution.Padding, Convolution.Dilation, Convolution.Groups);
}

/// <summary>A convolution over [batch, channels, height, width].</summary>
public sealed class Conv2d(long inChannels, long outChannels, long kernelSize, LoraOptions options, ConvOptions? convolution = null, bool bias = true)
    : ConvLora(2, inChannels, outChannels, kernelSize, options, convolution, bias)
{
    private protected override Tensor Convolve(Tensor x, Tensor weight, Tensor? bias)
    {
        var (stride, padding, dilation) = (Convolution.Stride, Convolution.Padding, Convolution.Dilation);
        return torch.nn.functional.conv2d(x, weight, bias, [stride, stride], [padding, padding], [dilation, dilation], Convolution.Groups);
    }
}

/// <summary>A convolution over [batch, channels, depth, height, width]; with LoRA of kernel size 1 only.</summary>
public sealed class Conv3d(long inChannels, long outChannels, long kernelSize, LoraOptions options, ConvOptions? convolution = null, bool bias = true)
    : ConvLora(3, inChannels, outChannels, kernelSize, options, convolution, bias)
{
    private protected override Tensor Convolve(Tensor x, Tensor weight, Tensor? bias)
    {
        var (stride, padding, dilation) = (Convolution.Stride, Convolution.Padding, Convolution.Dilation);
        return torch.nn.functional.conv3d(x, weight, bias, [stride, stride, stride], [padding, padding, padding], [dilation, dilation, dilation], Convolution.Groups);
    }
}
