using System.Collections.Immutable;

namespace DistTune.Core.Configuration;

/// <summary>The schema of a pretraining recipe.</summary>
public static class PretrainKeys
{
    /// <summary>All keys of the top level.</summary>
    public static ImmutableArray<ConfigKey> All { get; } =
    [
        new("corpus", ConfigKind.PathList, "UTF-8 text files; a blank line ends a document.") { Required = true },
        new("tokenizer", ConfigKind.Section, "The byte-level BPE tokenizer that is trained on the corpus.") { Keys = TokenizerKeys() },
        new("architecture", ConfigKind.Section, "The fields of config.json.") { Keys = ArchitectureKeys() },
        new("sequence_len", ConfigKind.Integer, "Tokens of a row; documents are packed end to end.") { Required = true, Minimum = 2, Maximum = 1 << 20 },
        new("micro_batch_size", ConfigKind.Integer, "Rows that are computed together.") { Default = 4L, Minimum = 1, Maximum = 4096 },
        new("gradient_accumulation_steps", ConfigKind.Integer, "Micro-batches of one optimizer step; workers share them.") { Default = 4L, Minimum = 1, Maximum = 65536 },
        new("num_epochs", ConfigKind.Number, "Passes over the corpus.") { Default = 1.0, Minimum = 0, AboveMinimum = true, Maximum = 100_000 },
        new("max_steps", ConfigKind.Integer, "Number of optimizer steps; -1 leaves it to num_epochs.") { Default = -1L, Minimum = -1, Maximum = 1 << 30 },
        .. OptimizerKeys.All,
        new("val_set_size", ConfigKind.Number, "Share (below 1) or number of rows that are held out.") { Default = 0.0, Minimum = 0 },
        new("gradient_checkpointing", ConfigKind.Boolean, "Recompute each layer in backward instead of keeping what it made.") { Default = false },
        new("logging_steps", ConfigKind.Integer, "Report every so many steps.") { Default = 10L, Minimum = 1, Maximum = 1 << 30 },
        new("eval_steps", ConfigKind.Integer, "Evaluate every so many steps, besides at the start and the end.") { Nullable = true, Minimum = 1, Maximum = 1 << 30 },
        new("seed", ConfigKind.Integer, "Seed of everything random.") { Default = 3407L, Minimum = 0 },
        new("output_dir", ConfigKind.Path, "Folder of the model's files.") { Required = true },
    ];

    private static ImmutableArray<ConfigKey> TokenizerKeys() =>
    [
        new("vocabulary_size", ConfigKind.Integer, "256 bytes, merges and special tokens together.") { Required = true, Minimum = 257, Maximum = 1 << 20 },
        new("special_tokens", ConfigKind.TextList, "Tokens that are never split; they get the first ids."),
        new("eos_token", ConfigKind.Text, "Closes each document; one of special_tokens.") { Required = true },
        new("pad_token", ConfigKind.Text, "One of special_tokens; eos_token if null.") { Nullable = true },
        new("chat_template", ConfigKind.Path, "Jinja file that is saved with the model.") { Nullable = true },
    ];

    private static ImmutableArray<ConfigKey> ArchitectureKeys() =>
    [
        new("model_type", ConfigKind.Choice, "Family of the model.") { Default = "llama", Choices = ["llama"] },
        Size("hidden_size", "Width of the residual stream."),
        Size("intermediate_size", "Width of the feed-forward block."),
        Size("num_hidden_layers", "Number of decoder layers."),
        Size("num_attention_heads", "Number of query heads."),
        Size("num_key_value_heads", "Number of key and value heads."),
        Size("max_position_embeddings", "Longest sequence."),
        new("head_dim", ConfigKind.Integer, "Width of a head; hidden_size / num_attention_heads if null.") { Nullable = true, Minimum = 2, Maximum = 1 << 16 },
        new("rope_theta", ConfigKind.Number, "Base of the rotary frequencies.") { Default = 10000.0, Minimum = 1 },
        new("rms_norm_eps", ConfigKind.Number, "Added to the mean square.") { Default = 1e-5, Minimum = 0, AboveMinimum = true, Maximum = 1 },
        new("initializer_range", ConfigKind.Number, "Standard deviation of the initial matrices.") { Default = 0.02, Minimum = 0, AboveMinimum = true, Maximum = 10 },
        new("tie_word_embeddings", ConfigKind.Boolean, "Whether the output head is the embedding.") { Default = true },
    ];

    private static ConfigKey Size(string name, string description) =>
        new(name, ConfigKind.Integer, description) { Required = true, Minimum = 1, Maximum = 1 << 24 };
}
