namespace DistTune.Modeling.Loralib;

/// <summary>y = x W^T + b + (alpha / r) dropout(x) A^T B^T, with A [r, in] and B [out, r].</summary>
public sealed class Linear : LoraLayer
{
    private readonly bool _fanInFanOut;
    private readonly Tensor? _bias;
    private readonly Tensor? _a;
    private readonly Tensor? _b;

    /// <summary>Makes a layer; B starts at zero, so that the addition is zero at first.</summary>
    /// <param name="inFeatures">Width of x.</param>
    /// <param name="outFeatures">Width of y.</param>
    /// <param name="options">Rank and the like.</param>
    /// <param name="fanInFanOut">Whether the weight is stored [in, out], as GPT-2's are.</param>
    /// <param name="bias">Whether there is a bias.</param>
    public Linear(long inFeatures, long outFeatures, LoraOptions options, bool fanInFanOut = false, bool bias = true)
        : base(options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(inFeatures, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(outFeatures, 1);
        _fanInFanOut = fanInFanOut;
        var weight = InitialValues.Uniform(options.Seed, "weight", outFeatures, inFeatures);
        Weight = Register("weight", fanInFanOut ? weight.t().contiguous() : weight);
        _bias = bias ? Register("bias", InitialValues.Bias(options.Seed, inFeatures, outFeatures)) : null;
        if (HasLora)
        {
            _a = Register("lora_A", InitialValues.Uniform(options.Seed, "lora_A", options.Rank, inFeatures));
            _b = Register("lora_B", torch.zeros([outFeatures, options.Rank], ScalarType.Float32));
            Weight.requires_grad = false;
        }
    }

    /// <inheritdoc/>
    public override Tensor Weight { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        var y = torch.nn.functional.linear(x, _fanInFanOut ? Weight.t() : Weight, _bias);
        return HasLora && !Merged ? Add(y, Drop(x).matmul(_a!.t()).matmul(_b!.t())) : y;
    }

    /// <inheritdoc/>
    protected override Tensor Delta()
    {
        var delta = _b!.mm(_a!);
        return _fanInFanOut ? delta.t() : delta;
    }
}
