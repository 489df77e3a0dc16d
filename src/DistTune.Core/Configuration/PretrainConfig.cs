using System.Collections.Immutable;

namespace DistTune.Core.Configuration;

/// <summary>The tokenizer of a pretraining recipe.</summary>
/// <param name="VocabularySize">256 bytes, merges and special tokens together.</param>
/// <param name="SpecialTokens">Tokens that are never split.</param>
/// <param name="EndToken">Closes each document.</param>
/// <param name="PadToken">Fills, where something must.</param>
/// <param name="ChatTemplate">Jinja file that is saved with the model, or null.</param>
public sealed record TokenizerRecipe(int VocabularySize, ImmutableArray<string> SpecialTokens, string EndToken, string PadToken, string? ChatTemplate);

/// <summary>A recipe that trains a base from scratch: tokenizer, architecture and run. Made by <see cref="Load"/>.</summary>
public sealed record PretrainConfig
{
    /// <summary>The text files.</summary>
    public required ImmutableArray<string> Corpus { get; init; }

    /// <summary>The tokenizer.</summary>
    public required TokenizerRecipe Tokenizer { get; init; }

    /// <summary>The fields of config.json that were configured, by name: string, long, double or bool; null ones are left out.</summary>
    public required ImmutableArray<KeyValuePair<string, object>> Architecture { get; init; }

    /// <summary>Tokens of a row.</summary>
    public required int SequenceLength { get; init; }

    /// <summary>Rows that are computed together.</summary>
    public required int MicroBatchSize { get; init; }

    /// <summary>Micro-batches (groups) of one optimizer step.</summary>
    public required int GradientAccumulationSteps { get; init; }

    /// <summary>Passes over the corpus, if <see cref="MaxSteps"/> is null.</summary>
    public required double Epochs { get; init; }

    /// <summary>Number of optimizer steps; null leaves it to <see cref="Epochs"/>.</summary>
    public int? MaxSteps { get; init; }

    /// <summary>Optimizer and schedule.</summary>
    public required OptimizerConfig Optimizer { get; init; }

    /// <summary>Share (below 1) or number (from 1 on) of rows that are held out.</summary>
    public double HeldOut { get; init; }

    /// <summary>Whether layers are recomputed in backward.</summary>
    public bool GradientCheckpointing { get; init; }

    /// <summary>Report every so many steps.</summary>
    public int LoggingSteps { get; init; } = 10;

    /// <summary>Evaluate every so many steps, besides at the start and the end.</summary>
    public int? EvaluationSteps { get; init; }

    /// <summary>Seed of everything random.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Folder of the model's files.</summary>
    public required string OutputFolder { get; init; }

    /// <summary>Standard deviation of the initial matrices.</summary>
    public double InitializerRange => (double)Architecture.First(entry => entry.Key == "initializer_range").Value;

    /// <summary>Every key with its value and origin.</summary>
    public required ResolvedSection Values { get; init; }

    /// <summary>Loads a recipe and lays the overrides over it, in their order.</summary>
    /// <exception cref="ConfigurationException">Something is wrong; all faults are listed.</exception>
    public static PretrainConfig Load(ConfigSource source, IEnumerable<ConfigOverride> overrides, string currentFolder)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(overrides);
        var values = source.Bind(PretrainKeys.All, overrides, currentFolder, Check);
        var tokenizer = values.Section("tokenizer");
        var maxSteps = values.Integer("max_steps");
        return new PretrainConfig
        {
            Corpus = values.Texts("corpus"),
            Tokenizer = new TokenizerRecipe(
                tokenizer.Integer("vocabulary_size"),
                tokenizer.Texts("special_tokens"),
                tokenizer.Text("eos_token"),
                tokenizer.OptionalText("pad_token") ?? tokenizer.Text("eos_token"),
                tokenizer.OptionalText("chat_template")),
            Architecture =
            [
                .. values.Section("architecture").Values
                    .Where(field => field.Value is not null)
                    .Select(field => KeyValuePair.Create(field.Key.Name, field.Value!)),
            ],
            SequenceLength = values.Integer("sequence_len"),
            MicroBatchSize = values.Integer("micro_batch_size"),
            GradientAccumulationSteps = values.Integer("gradient_accumulation_steps"),
            Epochs = values.Number("num_epochs"),
            MaxSteps = maxSteps < 0 ? null : maxSteps,
            Optimizer = OptimizerKeys.Read(values),
            HeldOut = values.Number("val_set_size"),
            GradientCheckpointing = values.Flag("gradient_checkpointing"),
            LoggingSteps = values.Integer("logging_steps"),
            EvaluationSteps = values.OptionalInteger("eval_steps"),
            Seed = (ulong)(long)values["seed"].Value!,
            OutputFolder = values.Text("output_dir"),
            Values = values,
        };
    }

    private static IEnumerable<ConfigurationFault> Check(ResolvedSection values)
    {
        foreach (var fault in OptimizerKeys.Check(values))
        {
            yield return fault;
        }

        var tokenizer = values.Section("tokenizer");
        if (tokenizer["special_tokens"].Value is ImmutableArray<string> special)
        {
            foreach (var role in (ResolvedValue[])[tokenizer["eos_token"], tokenizer["pad_token"]])
            {
                if (role.Value is string token && !special.Contains(token, StringComparer.Ordinal))
                {
                    yield return new(role.Origin, $"tokenizer.{role.Key.Name} must be one of tokenizer.special_tokens, got '{token}'. Add it there.");
                }
            }
        }

        var architecture = values.Section("architecture");
        if (architecture["max_position_embeddings"].Value is long positions && values["sequence_len"].Value is long length && length > positions)
        {
            yield return new(values["sequence_len"].Origin, FormattableString.Invariant($"sequence_len must be at most architecture.max_position_embeddings ({positions}), got {length}."));
        }

        if (values["max_steps"].Value is 0L)
        {
            yield return new(values["max_steps"].Origin, "max_steps must be -1 or at least 1, got 0.");
        }
    }
}
