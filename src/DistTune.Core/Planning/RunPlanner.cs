using System.Collections.Immutable;
using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Quantization;
using DistTune.Core.Text;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>
/// Resolves a configuration once into a run: reads base, tokenizer, template and data, and refuses what cannot go well before any time
/// is spent on it.
/// </summary>
public static class RunPlanner
{
    /// <summary>A tokenizer that knows less of the base's vocabulary than this is another model's; families round up by a few percent at most.</summary>
    private const double LeastVocabularyShare = 0.75;

    /// <summary>Prepares a run.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="bfloat16ByDefault">What <c>bf16: auto</c> means on the machine that plans.</param>
    /// <param name="cancellationToken">Stops the reading of files.</param>
    /// <exception cref="DistTuneException">Something does not fit; the message says what, where and the cure.</exception>
    public static async Task<PreparedRun> CreateAsync(RunConfig config, bool bfloat16ByDefault, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(config);
        RequireResult(config);
        var hashing = ModelHash.ComputeAsync(config.BaseModel, cancellationToken);
        var spec = ModelFamilies.Describe(config.BaseModel);
        using var weights = WeightSources.Open(config.BaseModel);
        ModelFamilies.CheckWeights(spec, weights, config.BaseModel);
        AdapterLayout.RequireEachTarget(spec, config.Adapter);
        config = config with { Quantization = QuantizedBase.Settle(weights, spec, config.Quantization, config.QuantizationIsSet, config.BaseModel) };

        var tokenizer = BaseText.Tokenizer(config.BaseModel);
        var template = BaseText.Template(config.BaseModel, config.ChatTemplate, tokenizer);
        RequireVocabulary(spec, tokenizer, config.BaseModel);
        config = config with { SequenceLength = SequenceLength(config, spec) };
        var data = RunDataReader.Read(config, tokenizer, template);
        RequireTrainedTokens(data, config);

        var layout = ParameterGroups.WithRates(AdapterLayout.Create(spec, config.Adapter), config.LoraPlus, config.Optimizer.LearningRate);
        var start = InitialAdapter.Create(config, layout, spec, weights);
        var initial = AdapterHash.Version(start.Values);
        var steps = StepPlan.Create(
            data.Training.Length, config.MicroBatchSize, config.GradientAccumulationSteps, config.Epochs, config.MaxSteps, config.Seed, config.Shuffle);
        var schedule = config.Optimizer.ScheduleFor(steps.Steps);
        var bfloat16 = config.BFloat16 ?? bfloat16ByDefault;
        var settings = ResultSettings(config, schedule, steps, bfloat16, initial);
        var hashes = new RunHashes(
            await hashing.ConfigureAwait(false),
            tokenizer.Hash,
            PlanHashes.Text(template?.Source),
            PlanHashes.Data(data.Training, data.HeldOut, data.Prompts),
            PlanHashes.Of(settings));
        var runId = RunId(hashes);
        var generation = new GenerationSettings(config.MaxNewTokens, StopTokens(spec, tokenizer), Seed: config.Seed);
        return new PreparedRun
        {
            Config = config,
            Spec = spec,
            Tokenizer = tokenizer,
            Template = template,
            Data = data.Summary,
            Prompts = data.Prompts,
            InitialAdapter = initial,
            InitialDifferences = start.Differences,
            Plan = new RunPlan
            {
                RunId = runId,
                Hashes = hashes,
                BaseModel = config.BaseModel,
                VocabularySize = spec.VocabularySize,
                BaseInBFloat16 = bfloat16,
                Quantization = config.Quantization,
                GradientCheckpointing = config.GradientCheckpointing,
                Seed = config.Seed,
                Adapter = config.Adapter,
                LabelSmoothing = config.LabelSmoothing,
                Layout = layout,
                Optimizer = config.Optimizer.Optimizer,
                Schedule = schedule,
                MaxGradientNorm = config.Optimizer.MaxGradientNorm,
                Steps = steps.Steps,
                StepsPerEpoch = steps.StepsPerEpoch,
                Settings = settings,
                SkipNonFinite = config.SkipNonFinite,
                EvaluationInterval = config.EvaluationSteps,
                Groups = new PlannedGroups(runId, steps, data.Training, data.HeldOut, data.Prompts, generation),
            },
        };
    }

    /// <summary>A run's identity follows from what its result depends on.</summary>
    internal static string RunId(RunHashes hashes) =>
        "run-" + PlanHashes.Text($"{hashes.Base} {hashes.Tokenizer} {hashes.Template} {hashes.Data} {hashes.Configuration}")[..12];

    /// <summary>The tokens that end an answer.</summary>
    public static ImmutableArray<int> StopTokens(DecoderSpec spec, Tokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(tokenizer);
        IEnumerable<int> ends = tokenizer.EosId is { } eos ? spec.EndTokens.Append(eos) : spec.EndTokens;
        return [.. ends.Distinct().Order()];
    }

    // A result in full is a folder that takes config.json and the tokenizer's files from the base's; what cannot be taken would let the run
    // fail when all is done.
    private static void RequireResult(RunConfig config)
    {
        if (config.Adapter.Kind != AdapterKind.Full)
        {
            return;
        }

        if (IsGguf(config.BaseModel))
        {
            throw new DistTuneException(FaultKind.Configuration, $"adapter: full saves a model folder and needs the base as one, but {config.BaseModel} is a GGUF file. Run `disttune import gguf FILE --output-dir ./model` first and set base_model: ./model, or set adapter: lora.");
        }

        ModelFolder.FindCompanions(config.BaseModel);
    }

    private static bool IsGguf(string path) =>
        WeightSources.IsGguf(path) || (Directory.Exists(path) && !File.Exists(Path.Combine(path, ModelFamilies.ConfigName)) && WeightSources.IsGguf(WeightSources.Locate(path)));

    private static void RequireVocabulary(DecoderSpec spec, Tokenizer tokenizer, string path)
    {
        if (tokenizer.VocabularySize > spec.VocabularySize)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"The tokenizer of {path} has {tokenizer.VocabularySize} tokens, but the base has {spec.VocabularySize} embeddings: its last ids have no row. Use the tokenizer that the base was trained with."));
        }

        if (tokenizer.VocabularySize < LeastVocabularyShare * spec.VocabularySize)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"The tokenizer of {path} has {tokenizer.VocabularySize} tokens, but the base has {spec.VocabularySize} embeddings: they do not belong together. Use the tokenizer that the base was trained with."));
        }
    }

    private static int SequenceLength(RunConfig config, DecoderSpec spec)
    {
        if (config.SequenceLength <= spec.MaxPositions)
        {
            return config.SequenceLength;
        }

        return config.Values.IsSet("sequence_len")
            ? throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"sequence_len must be at most the base's {spec.MaxPositions} positions, got {config.SequenceLength} ({config.Values["sequence_len"].Origin}). Set a smaller one."))
            : spec.MaxPositions;
    }

    private static void RequireTrainedTokens(RunData data, RunConfig config)
    {
        if (data.Training.IsEmpty)
        {
            var files = string.Join(", ", config.Datasets.Select(dataset => dataset.Path));
            var why = data.DroppedRows > 0
                ? FormattableString.Invariant($"{data.DroppedRows} rows were read, but none has a token to train. The answers may lie beyond sequence_len ({config.SequenceLength}), or the rows have none")
                : "no rows are left to train on";
            throw new DistTuneException(FaultKind.Configuration, $"Nothing would be trained by {files}: {why}. Check the files, their type, sequence_len and val_set_size.");
        }
    }

    private static ImmutableArray<KeyValuePair<string, string>> ResultSettings(RunConfig config, ScheduleSettings schedule, StepPlan steps, bool bfloat16, AdapterVersion initial)
    {
        var (adapter, optimizer, options) = (config.Adapter, config.Optimizer.Optimizer, schedule.Options);
        return PlanHashes.Values(
        [
            ("adapter", adapter.Kind), ("rank", adapter.Rank), ("alpha", adapter.Alpha), ("targets", string.Join(',', adapter.TargetModules)),
            ("initial", initial.Sha256), ("bf16", bfloat16), ("seed", config.Seed), ("shuffle", config.Shuffle),
            ("micro_batch", steps.MicroBatchSize), ("groups", steps.GroupsPerStep), ("steps", steps.Steps),
            ("beta1", optimizer.Beta1), ("beta2", optimizer.Beta2), ("epsilon", optimizer.Epsilon), ("decay", optimizer.WeightDecay),
            ("norm", config.Optimizer.MaxGradientNorm), ("schedule", schedule.Kind), ("rate", schedule.LearningRate),
            ("warmup", schedule.WarmupSteps), ("total", schedule.TotalSteps), ("cycles", options.Cycles), ("minimum", options.MinimumShare),
            ("start", options.WarmupStartShare), ("power", options.Power), ("end", options.EndRate), ("timescale", options.Timescale),
            ("decay_steps", options.DecaySteps), ("warmup_shape", options.WarmupShape), ("decay_shape", options.DecayShape),
            // Only what says something, so that the identity of plain runs stays.
            .. AdapterIdentity.Of(config),
            .. optimizer.EightBit ? [("optimizer", "adamw_8bit")] : Array.Empty<(string, object?)>(),
            .. config.SkipNonFinite ? [("on_nonfinite", "skip")] : Array.Empty<(string, object?)>(),
            .. config.Quantization is { } quantization ? [("quantization", quantization.Tag)] : Array.Empty<(string, object?)>(),
        ]);
    }
}
