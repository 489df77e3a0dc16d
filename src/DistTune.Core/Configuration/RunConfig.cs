using System.Collections.Immutable;
using DistTune.Core.Quantization;
using DistTune.Core.Training;

namespace DistTune.Core.Configuration;

/// <summary>One file of examples.</summary>
/// <param name="Path">Full path of the JSON Lines file.</param>
/// <param name="Type">Layout of its rows, such as <c>chat_template</c> or <c>alpaca</c>.</param>
public sealed record DatasetConfig(string Path, string Type);

/// <summary>A fine-tuning run as the user configured it: typed, complete, with every path made full. Made by <see cref="RunConfigLoader"/>.</summary>
public sealed record RunConfig
{
    /// <summary>Folder or GGUF file of the base.</summary>
    public required string BaseModel { get; init; }

    /// <summary>What is trained.</summary>
    public required AdapterSettings Adapter { get; init; }

    /// <summary>How the frozen base is held in four bits; null holds it in <see cref="BFloat16"/> or fp32.</summary>
    public FourBitSettings? Quantization { get; init; }

    /// <summary>Whether somebody said how; otherwise a base that is in four bits already is taken as it is.</summary>
    public bool QuantizationIsSet { get; init; }

    /// <summary>LoRA+'s learning rates; null gives all tensors one.</summary>
    public LoraPlusSettings? LoraPlus { get; init; }

    /// <summary>PEFT folder whose values training starts from; null starts afresh.</summary>
    public string? InitialAdapter { get; init; }

    /// <summary>Whether <see cref="InitialAdapter"/> must have every tensor and no other.</summary>
    public bool InitialAdapterIsStrict { get; init; } = true;

    /// <summary>Share of the training loss that is spread over the whole vocabulary.</summary>
    public double LabelSmoothing { get; init; }

    /// <summary>What is trained on; at least one.</summary>
    public required ImmutableArray<DatasetConfig> Datasets { get; init; }

    /// <summary>What is held out; excludes <see cref="HeldOut"/>.</summary>
    public ImmutableArray<DatasetConfig> EvaluationDatasets { get; init; } = [];

    /// <summary>Share (below 1) or number (from 1 on) of training rows that are held out.</summary>
    public double HeldOut { get; init; }

    /// <summary>Longest row in tokens.</summary>
    public required int SequenceLength { get; init; }

    /// <summary>Whether prompts carry loss too.</summary>
    public bool TrainOnInputs { get; init; }

    /// <summary>Jinja file used instead of the tokenizer's own template.</summary>
    public string? ChatTemplate { get; init; }

    /// <summary>Whether each epoch has an order of its own.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>Rows that are computed together.</summary>
    public required int MicroBatchSize { get; init; }

    /// <summary>Micro-batches (groups) of one optimizer step.</summary>
    public required int GradientAccumulationSteps { get; init; }

    /// <summary>Passes over the data, if <see cref="MaxSteps"/> is null.</summary>
    public required double Epochs { get; init; }

    /// <summary>Number of optimizer steps; null leaves it to <see cref="Epochs"/>.</summary>
    public int? MaxSteps { get; init; }

    /// <summary>Optimizer and schedule.</summary>
    public required OptimizerConfig Optimizer { get; init; }

    /// <summary>Whether the frozen base is held in bfloat16; null leaves it to the processor.</summary>
    public bool? BFloat16 { get; init; }

    /// <summary>Whether layers are recomputed in backward.</summary>
    public required bool GradientCheckpointing { get; init; }

    /// <summary>Whether a run that is predicted not to fit into memory is refused. Never part of what the result depends on.</summary>
    public bool MemoryCheck { get; init; } = true;

    /// <summary>Seed of everything random.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Folder of the run's files.</summary>
    public required string OutputFolder { get; init; }

    /// <summary>Report every so many steps.</summary>
    public int LoggingSteps { get; init; } = 1;

    /// <summary>Whether a group that is NaN or infinite on two tries is left out of its step; otherwise the run fails.</summary>
    public bool SkipNonFinite { get; init; }

    /// <summary>Snapshot every so many steps; null leaves it to how much there is to redo.</summary>
    public int? SaveSteps { get; init; } = 100;

    /// <summary>Snapshots that are kept; null keeps all.</summary>
    public int? SaveTotalLimit { get; init; } = 3;

    /// <summary>Whether what <see cref="OutputFolder"/> holds of an earlier run is deleted instead of going on with it.</summary>
    public bool StartAnew { get; init; }

    /// <summary>Folder of the snapshot to go on from; null goes on where <see cref="OutputFolder"/> stands.</summary>
    public string? ResumeFrom { get; init; }

    /// <summary>Evaluate every so many steps, besides at the start and the end.</summary>
    public int? EvaluationSteps { get; init; }

    /// <summary>Whether answers are generated at evaluations.</summary>
    public bool GenerateSamples { get; init; } = true;

    /// <summary>Prompts whose answers are shown.</summary>
    public ImmutableArray<string> SamplePrompts { get; init; } = [];

    /// <summary>Held-out rows whose answers are generated for token F1.</summary>
    public int EvaluationSamples { get; init; }

    /// <summary>Longest generated answer.</summary>
    public int MaxNewTokens { get; init; } = 64;

    /// <summary>Who computes. Never part of what the result depends on.</summary>
    public DistributedConfig Distributed { get; init; } = new();

    /// <summary>Every key with its value and origin.</summary>
    public required ResolvedSection Values { get; init; }
}

/// <summary>Who computes a run.</summary>
public sealed record DistributedConfig
{
    /// <summary>Worker processes; null leaves it to the command.</summary>
    public int? Workers { get; init; }

    /// <summary>Threads of each worker; null shares the cores out.</summary>
    public int? ThreadsPerWorker { get; init; }

    /// <summary>Workers that must be there before the run starts.</summary>
    public int MinWorkers { get; init; } = 1;

    /// <summary>A group whose worker shows no progress for so long is given to another.</summary>
    public int LeaseSeconds { get; init; } = 120;
}
