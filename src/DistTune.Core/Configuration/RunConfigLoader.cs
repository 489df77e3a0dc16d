using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Core.Configuration;

/// <summary>Makes a <see cref="RunConfig"/> from file &lt; environment &lt; command line, or reports everything that is wrong at once.</summary>
public static class RunConfigLoader
{
    /// <summary>Loads a YAML file and lays the overrides over it, in their order.</summary>
    /// <param name="path">The file as the user named it; null configures by overrides alone.</param>
    /// <param name="overrides">Environment first, command line last.</param>
    /// <exception cref="ConfigurationException">Something is wrong; all faults are listed.</exception>
    public static RunConfig Load(string? path, IEnumerable<ConfigOverride> overrides)
    {
        var source = path is null
            ? new ConfigSource("", "the command line", Environment.CurrentDirectory)
            : ConfigSource.FromFile(path);
        return Load(source, overrides, Environment.CurrentDirectory);
    }

    /// <summary>Loads YAML text.</summary>
    /// <param name="source">The text, its name for messages and the folder that its paths are relative to.</param>
    /// <param name="overrides">Environment first, command line last.</param>
    /// <param name="currentFolder">Folder that paths in overrides are relative to.</param>
    /// <exception cref="ConfigurationException">Something is wrong; all faults are listed.</exception>
    public static RunConfig Load(ConfigSource source, IEnumerable<ConfigOverride> overrides, string currentFolder)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(overrides);
        var values = source.Bind(RunConfigKeys.All, overrides, currentFolder, Check);
        return Read(values);
    }

    private static RunConfig Read(ResolvedSection values)
    {
        var microBatch = values.Integer("micro_batch_size");
        var distributed = values.Section("distributed");
        var maxSteps = values.Integer("max_steps");
        var (quantization, isSet) = QuantizationKeys.Read(values);
        return new RunConfig
        {
            BaseModel = values.Text("base_model"),
            Adapter = AdapterKeys.Read(values),
            LoraPlus = AdapterKeys.ReadLoraPlus(values),
            Quantization = quantization,
            QuantizationIsSet = isSet,
            InitialAdapter = values.OptionalText("init_adapter"),
            InitialAdapterIsStrict = values.Flag("init_adapter_strict"),
            LabelSmoothing = values.Number("label_smoothing_factor"),
            Datasets = Datasets(values.Sections("datasets")),
            EvaluationDatasets = Datasets(values.Sections("eval_datasets")),
            HeldOut = values.Number("val_set_size"),
            SequenceLength = values.Integer("sequence_len"),
            TrainOnInputs = values.Flag("train_on_inputs"),
            ChatTemplate = values.OptionalText("chat_template"),
            Shuffle = values.Flag("shuffle"),
            MicroBatchSize = microBatch,
            GradientAccumulationSteps = values.OptionalInteger("global_batch_size") / microBatch ?? values.Integer("gradient_accumulation_steps"),
            Epochs = values.Number("num_epochs"),
            MaxSteps = maxSteps < 0 ? null : maxSteps,
            Optimizer = OptimizerKeys.Read(values),
            BFloat16 = values.OptionalFlag("bf16"),
            GradientCheckpointing = values.Flag("gradient_checkpointing"),
            MemoryCheck = values.Flag("memory_check"),
            Seed = (ulong)(long)values["seed"].Value!,
            OutputFolder = values.Text("output_dir"),
            LoggingSteps = values.Integer("logging_steps"),
            SkipNonFinite = values.Text("on_nonfinite") == "skip",
            SaveSteps = values.OptionalInteger("save_steps"),
            SaveTotalLimit = values.OptionalInteger("save_total_limit"),
            StartAnew = values["resume_from_checkpoint"].Value is null,
            ResumeFrom = values.OptionalText("resume_from_checkpoint") is { } resume && resume != "auto" ? resume : null,
            EvaluationSteps = values.OptionalInteger("eval_steps"),
            GenerateSamples = values.Flag("generate_samples"),
            SamplePrompts = values.Texts("sample_prompts"),
            EvaluationSamples = values.Integer("eval_samples"),
            MaxNewTokens = values.Integer("max_new_tokens"),
            Distributed = new DistributedConfig
            {
                Workers = distributed.OptionalInteger("workers"),
                ThreadsPerWorker = distributed.OptionalInteger("threads_per_worker"),
                MinWorkers = distributed.Integer("min_workers"),
                LeaseSeconds = distributed.Integer("lease_seconds"),
            },
            Values = values,
        };
    }

    private static ImmutableArray<DatasetConfig> Datasets(ImmutableArray<ResolvedSection> sections) =>
        [.. sections.Select(section => new DatasetConfig(section.Text("path"), section.Text("type")))];

    // What one key alone cannot tell.
    private static IEnumerable<ConfigurationFault> Check(ResolvedSection values)
    {
        foreach (var fault in OptimizerKeys.Check(values).Concat(AdapterKeys.Check(values)).Concat(QuantizationKeys.Check(values)))
        {
            yield return fault;
        }

        var global = values["global_batch_size"];
        if (global.Value is long rows && values["micro_batch_size"].Value is long microBatch)
        {
            if (values.IsSet("gradient_accumulation_steps"))
            {
                yield return new(global.Origin, $"global_batch_size and gradient_accumulation_steps ({values["gradient_accumulation_steps"].Origin}) exclude each other. Keep one.");
            }
            else if (rows % microBatch != 0)
            {
                yield return new(global.Origin, FormattableString.Invariant($"global_batch_size must be a multiple of micro_batch_size ({microBatch}), got {rows}."));
            }
        }

        if (values["max_steps"].Value is 0L)
        {
            yield return new(values["max_steps"].Origin, "max_steps must be -1 or at least 1, got 0.");
        }

        if (values["val_set_size"].Value is double heldOut)
        {
            if (heldOut > 1 && heldOut % 1 != 0)
            {
                yield return new(values["val_set_size"].Origin, FormattableString.Invariant($"val_set_size must be a share below 1 or a whole number of rows, got {heldOut}."));
            }

            if (heldOut > 0 && values["eval_datasets"].Value is ImmutableArray<ResolvedSection> { IsEmpty: false })
            {
                yield return new(values["val_set_size"].Origin, $"val_set_size and eval_datasets ({values["eval_datasets"].Origin}) exclude each other. Keep one.");
            }
        }

        if (values["distributed"].Value is ResolvedSection distributed
            && distributed["min_workers"] is { Value: long least } minimum && distributed["workers"].Value is long workers && workers < least)
        {
            yield return new(minimum.Origin, FormattableString.Invariant($"distributed.min_workers must be at most distributed.workers ({workers}), got {least}: the run would wait for ever."));
        }

        if (values["datasets"] is { Value: ImmutableArray<ResolvedSection> { IsEmpty: true }, Origin.Kind: not OriginKind.Default } empty)
        {
            yield return new(empty.Origin, "datasets must have at least one entry, got an empty list. Example: datasets: [{path: rows.jsonl, type: chat_template}].");
        }
    }
}
