namespace DistTune.Core.Models;

/// <summary>What a family fixes, whatever its configuration says, and what it takes where the configuration is silent.</summary>
internal sealed record FamilyTraits
{
    /// <summary>Name of the family, as in <c>model_type</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Which linear modules have a bias.</summary>
    public ModuleBiases Biases { get; init; }

    /// <summary>Whether q, k, v are one module, and gate and up another.</summary>
    public bool FusedProjections { get; init; }

    /// <summary>Whether query and key heads are normed.</summary>
    public bool QueryKeyNorm { get; init; }

    /// <summary>Whether the outputs of attention and feed-forward block are normed.</summary>
    public bool PostNorms { get; init; }

    /// <summary>Whether a norm's gain is one plus its weight.</summary>
    public bool OnePlusNorm { get; init; }

    /// <summary>Whether only the first dimensions of a head may rotate.</summary>
    public bool PartialRotary { get; init; }

    /// <summary>Whether the head is the embedding where the configuration is silent.</summary>
    public bool TiedHead { get; init; }

    /// <summary>Field of the feed-forward non-linearity.</summary>
    public string ActivationField { get; init; } = "hidden_act";

    /// <summary>The non-linearity where the configuration is silent.</summary>
    public Activation Activation { get; init; } = Activation.Silu;

    /// <summary>Epsilon of the norms where the configuration is silent.</summary>
    public double Epsilon { get; init; } = 1e-6;

    /// <summary>Base of the rotary frequencies where the configuration is silent.</summary>
    public double Theta { get; init; } = 10000;

    /// <summary>Whether layers with a window rotate by an embedding of their own.</summary>
    public bool RotaryPerLayerType { get; init; }

    /// <summary>Base of the frequencies of layers with a window, if they have their own and the configuration is silent.</summary>
    public double LocalTheta { get; init; } = 10000;

    /// <summary>Positions where the configuration is silent.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Width of a head where the configuration is silent; null for hidden / heads.</summary>
    public int? HeadDimension { get; init; }
}

/// <summary>Which linear modules have a bias.</summary>
/// <param name="QueryKeyValue">q, k and v.</param>
/// <param name="Output">o.</param>
/// <param name="FeedForward">gate, up and down.</param>
internal readonly record struct ModuleBiases(bool QueryKeyValue, bool Output, bool FeedForward);
