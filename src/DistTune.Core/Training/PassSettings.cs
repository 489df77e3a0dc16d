namespace DistTune.Core.Training;

/// <summary>How a micro-batch is computed, besides what the adapter says.</summary>
/// <param name="GradientCheckpointing">Keep only the layers' inputs and compute each layer again for its derivative.</param>
/// <param name="Seed">The run's seed, which dropout is drawn by.</param>
/// <param name="LabelSmoothing">e: the loss of a trained token is (1 - e) * nll + e * mean over the vocabulary of -log p. Evaluation takes none.</param>
public sealed record PassSettings(bool GradientCheckpointing, ulong Seed = 0, double LabelSmoothing = 0);
