namespace DistTune.Modeling.Loralib;

/// <summary>What all of loralib's layers take.</summary>
/// <param name="Rank">r; 0 gives the layer no LoRA, and its weight stays trainable.</param>
/// <param name="Alpha">lora_alpha; the addition is scaled by alpha / r.</param>
/// <param name="Dropout">lora_dropout: probability on the input of A. Convolutions accept and ignore it, as loralib's do.</param>
/// <param name="MergeWeights">merge_weights: whether evaluation merges.</param>
/// <param name="Seed">Seed of the initial values.</param>
public sealed record LoraOptions(int Rank = 0, double Alpha = 1, double Dropout = 0, bool MergeWeights = true, ulong Seed = 0);
