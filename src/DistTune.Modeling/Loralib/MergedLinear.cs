using System.Collections.Immutable;
using DistTune.Core;

namespace DistTune.Modeling.Loralib;

/// <summary>
/// A linear layer that holds several maps one below the other (such as q, k and v), LoRA on some of them: A [r * enabled, in],
/// B [out / maps * enabled, r]; each enabled map has a block of A and one of B of its own.
/// </summary>
public sealed class MergedLinear : LoraLayer
{
    private readonly ImmutableArray<bool> _enabled;
    private readonly bool _fanInFanOut;
    private readonly Tensor? _bias;
    private readonly Tensor? _a;
    private readonly Tensor? _b;

    /// <summary>Makes a layer; B starts at zero.</summary>
    /// <param name="inFeatures">Width of x.</param>
    /// <param name="outFeatures">Width of y: all maps together.</param>
    /// <param name="enableLora">For each map whether it has LoRA.</param>
    /// <param name="options">Rank of each enabled map and the like.</param>
    /// <param name="fanInFanOut">Whether the weight is stored [in, out].</param>
    /// <param name="bias">Whether there is a bias.</param>
    /// <exception cref="DistTuneException">The number of maps does not divide the output.</exception>
    public MergedLinear(long inFeatures, long outFeatures, ImmutableArray<bool> enableLora, LoraOptions options, bool fanInFanOut = false, bool bias = true)
        : base(options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(inFeatures, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(outFeatures, 1);
        if (enableLora.IsDefaultOrEmpty || outFeatures % enableLora.Length != 0)
        {
            var length = enableLora.IsDefault ? 0 : enableLora.Length;
            throw new DistTuneException(
                FaultKind.Configuration,
                FormattableString.Invariant($"The length of enable_lora must divide out_features; got {length} and {outFeatures}. Give enable_lora an entry for each of the fused maps."));
        }

        _enabled = enableLora;
        _fanInFanOut = fanInFanOut;
        var weight = InitialValues.Uniform(options.Seed, "weight", outFeatures, inFeatures);
        Weight = Register("weight", fanInFanOut ? weight.t().contiguous() : weight);
        _bias = bias ? Register("bias", InitialValues.Bias(options.Seed, inFeatures, outFeatures)) : null;
        if (HasLora)
        {
            var count = enableLora.Count(enabled => enabled);
            _a = Register("lora_A", InitialValues.Uniform(options.Seed, "lora_A", options.Rank * count, inFeatures));
            _b = Register("lora_B", torch.zeros([outFeatures / enableLora.Length * count, options.Rank], ScalarType.Float32));
            Weight.requires_grad = false;
        }
    }

    /// <inheritdoc/>
    public override Tensor Weight { get; }

    /// <inheritdoc/>
    protected override bool HasLora => base.HasLora && _enabled.Any(enabled => enabled);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor x)
    {
        ArgumentNullException.ThrowIfNull(x);
        var y = torch.nn.functional.linear(x, _fanInFanOut ? Weight.t() : Weight, _bias);
        return HasLora && !Merged ? Add(y, Drop(x).matmul(Blocks().t())) : y;
    }

    /// <inheritdoc/>
    protected override Tensor Delta() => _fanInFanOut ? Blocks().t() : Blocks();

    /// <summary>The unscaled addition [out, in]: B_g A_g for each enabled map, zeros for the others.</summary>
    private Tensor Blocks()
    {
        var rank = Options.Rank;
        var rows = Weight.NumberOfElements / _a!.shape[1] / _enabled.Length;
        var blocks = new Tensor[_enabled.Length];
        var block = 0;
        for (var map = 0; map < blocks.Length; map++)
        {
            blocks[map] = _enabled[map]
                ? _b!.narrow(0, block * rows, rows).mm(_a.narrow(0, block * rank, rank))
                : torch.zeros([rows, _a.shape[1]], ScalarType.Float32, Weight.device);
            block += _enabled[map] ? 1 : 0;
        }

        return torch.cat(blocks, 0);
    }
}
