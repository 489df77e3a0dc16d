using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Configuration;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Text;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>Turns a pretraining recipe into a plan: trains the tokenizer, cuts the corpus into rows, and lays out weights and steps.</summary>
public static class PretrainPlanner
{
    // With rank and alpha 1 the scale is 1; neither has a meaning when all weights are trained.
    private static readonly AdapterSettings AllWeights = new(AdapterKind.Full, 1, 1, []);

    /// <summary>Prepares the run.</summary>
    /// <exception cref="DistTuneException">A file cannot be read, or the recipe contradicts itself; the message names it.</exception>
    public static PreparedPretraining Create(PretrainConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        var documents = Corpus.Documents(config.Corpus);
        var trained = TrainTokenizer(config, documents);
        var tokenizer = trained.ToTokenizer();
        var end = tokenizer.TokenToId(config.Tokenizer.EndToken)
            ?? throw new DistTuneException(FaultKind.Configuration, $"tokenizer.eos_token {config.Tokenizer.EndToken} is not in the vocabulary. Add it to tokenizer.special_tokens.");
        var configJson = ConfigJson(config, tokenizer.VocabularySize, end);
        using var document = JsonDocument.Parse(configJson);
        var spec = ModelFamilies.Describe(document.RootElement, "the recipe's architecture");
        var layout = AdapterLayout.Create(spec, AllWeights);
        var (training, heldOut) = Split(Corpus.Rows(documents, tokenizer, end, config.SequenceLength), config);
        var steps = StepPlan.Create(training.Length, config.MicroBatchSize, config.GradientAccumulationSteps, config.Epochs, config.MaxSteps, config.Seed, shuffle: true);
        var schedule = config.Optimizer.ScheduleFor(steps.Steps);
        var initial = AdapterHash.Version(InitialWeights(layout, spec, config));
        var optimizer = config.Optimizer.Optimizer;
        var hashes = new RunHashes(
            PlanHashes.Text(configJson),
            tokenizer.Hash,
            "",
            PlanHashes.Data(training, heldOut, []),
            PlanHashes.Of(PlanHashes.Values(
            [
                ("initial", initial.Sha256), ("seed", config.Seed), ("micro_batch", steps.MicroBatchSize), ("groups", steps.GroupsPerStep),
                ("steps", steps.Steps), ("beta1", optimizer.Beta1), ("beta2", optimizer.Beta2), ("epsilon", optimizer.Epsilon),
                ("decay", optimizer.WeightDecay), ("norm", config.Optimizer.MaxGradientNorm), ("schedule", schedule),
                .. optimizer.EightBit ? [("optimizer", "adamw_8bit")] : Array.Empty<(string, object?)>(),
            ])));
        var runId = RunPlanner.RunId(hashes);
        return new PreparedPretraining
        {
            Config = config,
            Spec = spec,
            ConfigJson = configJson,
            Tokenizer = trained,
            Data = new RunData(training, heldOut, [], 0, 0).Summary,
            InitialWeights = initial,
            Plan = new RunPlan
            {
                RunId = runId,
                Hashes = hashes,
                BaseModel = config.OutputFolder,
                VocabularySize = spec.VocabularySize,
                BaseInBFloat16 = false,
                GradientCheckpointing = config.GradientCheckpointing,
                Seed = config.Seed,
                Adapter = AllWeights,
                Layout = layout,
                Optimizer = optimizer,
                Schedule = schedule,
                MaxGradientNorm = config.Optimizer.MaxGradientNorm,
                Steps = steps.Steps,
                StepsPerEpoch = steps.StepsPerEpoch,
                EvaluationInterval = config.EvaluationSteps,
                Groups = new PlannedGroups(runId, steps, training, heldOut, [], new GenerationSettings(1, [end])),
            },
        };
    }

    private static TokenizerJson TrainTokenizer(PretrainConfig config, ImmutableArray<string> documents)
    {
        var recipe = config.Tokenizer;
        return BpeTrainer.Train(documents, new BpeTrainerSettings(recipe.VocabularySize, recipe.SpecialTokens)
        {
            Eos = recipe.EndToken,
            Pad = recipe.PadToken,
            ChatTemplate = recipe.ChatTemplate is { } file ? ReadTemplate(file) : null,
            ModelMaximumLength = (long)config.Architecture.First(entry => entry.Key == "max_position_embeddings").Value,
        });
    }

    private static string ReadTemplate(string file)
    {
        RegularFile.Check(file);
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"tokenizer.chat_template {file} cannot be read: {error.Message}", error);
        }
    }

    private static string ConfigJson(PretrainConfig config, int vocabularySize, int end)
    {
        var json = new JsonObject
        {
            ["architectures"] = new JsonArray("LlamaForCausalLM"),
            ["vocab_size"] = vocabularySize,
            ["hidden_act"] = "silu",
            ["bos_token_id"] = null,
            ["eos_token_id"] = end,
        };
        foreach (var (name, value) in config.Architecture)
        {
            json[name] = value switch
            {
                long integer => JsonValue.Create(integer),
                double number => JsonValue.Create(number),
                bool flag => JsonValue.Create(flag),
                _ => JsonValue.Create((string)value),
            };
        }

        return json.ToJsonString();
    }

    private static (ImmutableArray<PlannedSample> Training, ImmutableArray<PlannedSample> HeldOut) Split(ImmutableArray<PlannedSample> rows, PretrainConfig config)
    {
        var count = config.HeldOut < 1 ? (int)Math.Round(config.HeldOut * rows.Length) : (int)Math.Min(config.HeldOut, int.MaxValue);
        if (count >= rows.Length)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"val_set_size holds out {count} of {rows.Length} rows, and none is left to train on. Set it lower or add text."));
        }

        var heldOut = CounterRandom.Permutation(config.Seed, CounterRandom.Stream("held out"), rows.Length).Take(count).ToHashSet();
        return ([.. rows.Where((_, index) => !heldOut.Contains(index))], [.. rows.Where((_, index) => heldOut.Contains(index))]);
    }

    // What writes into the residual stream starts smaller, so that the stream's variance does not grow with depth (GPT-2's rule).
    private static float[] InitialWeights(ParameterLayout layout, DecoderSpec spec, PretrainConfig config)
    {
        var values = AdapterInitialization.Create(layout, AllWeights, config.Seed, config.InitializerRange);
        var scale = (float)(1 / Math.Sqrt(2.0 * spec.LayerCount));
        foreach (var entry in layout.Entries.Where(entry => entry.Name.EndsWith("o_proj.weight", StringComparison.Ordinal) || entry.Name.EndsWith("down_proj.weight", StringComparison.Ordinal)))
        {
            foreach (ref var value in values.AsSpan((int)entry.Offset, (int)entry.Length))
            {
                value *= scale;
            }
        }

        return values;
    }
}
