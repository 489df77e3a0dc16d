using DistTune.Core;

namespace DistTune.Modeling.Loralib;

/// <summary>
/// A layer with a low-rank addition to its weight (Hu et al. 2021, arXiv:2106.09685), with loralib's names and semantics: evaluation
/// merges the addition into the weight, training takes it out again.
/// </summary>
public abstract class LoraLayer : LoraModule
{
    /// <summary>Sets what all kinds share.</summary>
    /// <exception cref="DistTuneException">A number is out of range.</exception>
    protected LoraLayer(LoraOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Rank < 0 || !double.IsFinite(options.Alpha) || options.Dropout is not (>= 0 and < 1))
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                FormattableString.Invariant($"r must be at least 0, lora_alpha finite and lora_dropout in [0, 1); got {options.Rank}, {options.Alpha} and {options.Dropout}. Correct them."));
        }

        Options = options;
    }

    /// <summary>Rank, alpha, dropout and whether to merge.</summary>
    public LoraOptions Options { get; }

    /// <summary>alpha / r, or null without LoRA.</summary>
    public double? Scaling => HasLora ? Options.Alpha / Options.Rank : null;

    /// <summary>Whether the addition is in the weight now.</summary>
    public bool Merged { get; private set; }

    /// <summary>The weight, with the addition in it while <see cref="Merged"/>.</summary>
    public abstract Tensor Weight { get; }

    /// <summary>Whether there are factors at all.</summary>
    protected virtual bool HasLora => Options.Rank > 0;

    /// <summary>The layer's output, in the current dispose scope; differentiable.</summary>
    public abstract Tensor Forward(Tensor x);

    /// <inheritdoc/>
    public override void Train(bool mode = true)
    {
        base.Train(mode);
        if (!Options.MergeWeights || Merged == !mode)
        {
            return;
        }

        if (HasLora)
        {
            using var frozen = torch.no_grad();
            using var scope = torch.NewDisposeScope();
            Weight.add_(Delta(), mode ? -Scaling!.Value : Scaling!.Value);
        }

        Merged = !mode;
    }

    /// <summary>The unscaled addition in the weight's own shape.</summary>
    protected abstract Tensor Delta();

    /// <summary>The scaled addition's part of a forward pass: dropout(x) A B, times the scale, added to <paramref name="y"/>.</summary>
    protected Tensor Add(Tensor y, Tensor low) => y.add(low, Scaling!.Value);

    /// <summary>Dropout on the layer's input, in training mode only.</summary>
    protected Tensor Drop(Tensor x) => Options.Dropout > 0 && Training ? torch.nn.functional.dropout(x, Options.Dropout) : x;
}
