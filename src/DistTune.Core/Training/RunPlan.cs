using System.Collections.Immutable;
using DistTune.Core.Quantization;

namespace DistTune.Core.Training;

/// <summary>SHA-256 (lower-case hexadecimal) of everything a result depends on.</summary>
/// <param name="Base">The base's weights and config.json.</param>
/// <param name="Tokenizer">The tokenizer's files.</param>
/// <param name="Template">The chat template's text; empty if none is used.</param>
/// <param name="Data">The tokenised samples with their label spans.</param>
/// <param name="Configuration">The configuration fields that can change the result.</param>
public sealed record RunHashes(string Base, string Tokenizer, string Template, string Data, string Configuration);

/// <summary>AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101).</summary>
public sealed record OptimizerSettings(double Beta1 = 0.9, double Beta2 = 0.999, double Epsilon = 1e-8, double WeightDecay = 0.0)
{
    /// <summary>Whether moments are held in eight bits (Dettmers et al. 2021, arXiv:2110.02861).</summary>
    public bool EightBit { get; init; }
}

/// <summary>How the learning rate moves.</summary>
public enum ScheduleKind
{
    /// <summary>The same rate at every step; warmup is ignored.</summary>
    Constant,

    /// <summary>Linear warmup, then constant.</summary>
    ConstantWithWarmup,

    /// <summary>Linear warmup, then linear to zero.</summary>
    Linear,

    /// <summary>Linear warmup, then half a cosine to zero.</summary>
    Cosine,

    /// <summary>Linear warmup, then a cosine to zero that starts anew <see cref="ScheduleOptions.Cycles"/> times.</summary>
    CosineWithRestarts,

    /// <summary>Linear warmup, then half a cosine to <see cref="ScheduleOptions.MinimumShare"/>.</summary>
    CosineWithMinimum,

    /// <summary>As <see cref="CosineWithMinimum"/>, one step ahead: step 0 already moves and the last step reaches the minimum.</summary>
    CosineWarmupWithMinimum,

    /// <summary>Linear warmup, then a power of the remaining share down to <see cref="ScheduleOptions.EndRate"/>.</summary>
    Polynomial,

    /// <summary>Linear warmup, then one over the square root of the step.</summary>
    InverseSquareRoot,

    /// <summary>Warmup, a plateau, and a decay over the last <see cref="ScheduleOptions.DecaySteps"/>.</summary>
    WarmupStableDecay,
}

/// <summary>Shape of a ramp of <see cref="ScheduleKind.WarmupStableDecay"/>.</summary>
public enum RampShape
{
    /// <summary>A straight line.</summary>
    Linear,

    /// <summary>Half a cosine.</summary>
    Cosine,

    /// <summary>One minus a square root.</summary>
    OneMinusSquareRoot,
}

/// <summary>What single kinds of schedule take besides warmup and total; each is ignored by the kinds that do not name it.</summary>
public sealed record ScheduleOptions
{
    /// <summary>Cosines: number of cycles; null is the kind's own (half a cycle, or one restart).</summary>
    public double? Cycles { get; init; }

    /// <summary>The share of the rate that is never undercut.</summary>
    public double MinimumShare { get; init; }

    /// <summary><see cref="ScheduleKind.CosineWarmupWithMinimum"/>: share of the rate at step 0; null starts at one warmup step.</summary>
    public double? WarmupStartShare { get; init; }

    /// <summary><see cref="ScheduleKind.Polynomial"/>: the exponent.</summary>
    public double Power { get; init; } = 1;

    /// <summary><see cref="ScheduleKind.Polynomial"/>: the rate at the end.</summary>
    public double EndRate { get; init; } = 1e-7;

    /// <summary><see cref="ScheduleKind.InverseSquareRoot"/>: null is the warmup, or 10000 without one.</summary>
    public int? Timescale { get; init; }

    /// <summary><see cref="ScheduleKind.WarmupStableDecay"/>: steps of the decay.</summary>
    public int DecaySteps { get; init; }

    /// <summary><see cref="ScheduleKind.WarmupStableDecay"/>: shape of the warmup.</summary>
    public RampShape WarmupShape { get; init; } = RampShape.Linear;

    /// <summary><see cref="ScheduleKind.WarmupStableDecay"/>: shape of the decay.</summary>
    public RampShape DecayShape { get; init; } = RampShape.Cosine;
}

/// <summary>The learning-rate schedule.</summary>
public sealed record ScheduleSettings(ScheduleKind Kind, double LearningRate, int WarmupSteps, int TotalSteps)
{
    /// <summary>What single kinds take besides.</summary>
    public ScheduleOptions Options { get; init; } = new();
}

/// <summary>The groups of every step; a pure function of configuration and data.</summary>
public interface IGroupSource
{
    /// <summary>The groups of a training step, index ascending from 0; at least one.</summary>
    ImmutableArray<GroupSpec> TrainingGroups(int step);

    /// <summary>The held-out groups; empty if nothing is held out.</summary>
    ImmutableArray<GroupSpec> EvaluationGroups(int step);

    /// <summary>The sample prompts; empty if there are none.</summary>
    ImmutableArray<GroupSpec> GenerationGroups(int step);
}

/// <summary>
/// A run, resolved: whatever can change the result is here, and nothing else may. The same plan gives the same adapter on any number
/// of workers.
/// </summary>
public sealed record RunPlan
{
    /// <summary>The run's identity, carried by every message.</summary>
    public required string RunId { get; init; }

    /// <summary>What the result depends on.</summary>
    public required RunHashes Hashes { get; init; }

    /// <summary>Folder or GGUF file of the base; workers read it from the same path or from their own.</summary>
    public required string BaseModel { get; init; }

    /// <summary>Number of token ids that the base has embeddings for.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Whether the frozen base is held in bfloat16 (otherwise fp32).</summary>
    public required bool BaseInBFloat16 { get; init; }

    /// <summary>How the linear modules of the frozen base are held in four bits; null holds them as all else.</summary>
    public FourBitSettings? Quantization { get; init; }

    /// <summary>Whether each decoder layer is recomputed in backward from its saved input.</summary>
    public required bool GradientCheckpointing { get; init; }

    /// <summary>Seed of everything random.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Share of the loss that is spread over the whole vocabulary.</summary>
    public double LabelSmoothing { get; init; }

    /// <summary>How its micro-batches are computed.</summary>
    public PassSettings Pass => new(GradientCheckpointing, Seed, LabelSmoothing);

    /// <summary>What is trained.</summary>
    public required AdapterSettings Adapter { get; init; }

    /// <summary>The trained tensors.</summary>
    public required ParameterLayout Layout { get; init; }

    /// <summary>The optimizer.</summary>
    public required OptimizerSettings Optimizer { get; init; }

    /// <summary>The schedule.</summary>
    public required ScheduleSettings Schedule { get; init; }

    /// <summary>Global gradient norm above which gradients are scaled down; null never clips.</summary>
    public required double? MaxGradientNorm { get; init; }

    /// <summary>Whether a group whose result is NaN or infinite wherever it is computed is left out of its step; otherwise the run fails.</summary>
    public bool SkipNonFinite { get; init; }

    /// <summary>Number of optimizer steps.</summary>
    public required int Steps { get; init; }

    /// <summary>Number of optimizer steps an epoch.</summary>
    public required int StepsPerEpoch { get; init; }

    /// <summary>Evaluate after every so many steps, besides before the first and after the last; null for only those two.</summary>
    public int? EvaluationInterval { get; init; }

    /// <summary>The configuration's fields that can change the result, by name: what <see cref="RunHashes.Configuration"/> is the hash of.</summary>
    public ImmutableArray<KeyValuePair<string, string>> Settings { get; init; } = [];

    /// <summary>The groups of every step.</summary>
    public required IGroupSource Groups { get; init; }
}
