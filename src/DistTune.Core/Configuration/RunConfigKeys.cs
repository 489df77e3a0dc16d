using System.Collections.Immutable;

namespace DistTune.Core.Configuration;

/// <summary>The schema of a run's configuration. Adding a key is a line here and a property in <see cref="RunConfig"/>.</summary>
public static class RunConfigKeys
{
    /// <summary>All keys of the top level, in the order in which they are printed.</summary>
    public static ImmutableArray<ConfigKey> All { get; } =
    [
        new("base_model", ConfigKind.Path, "Folder (Hugging Face layout) or GGUF file of the base.") { Aliases = ["model_name_or_path"], Required = true },
        .. AdapterKeys.All,
        .. QuantizationKeys.All,
        .. DataKeys(),
        .. BatchKeys(),
        .. OptimizerKeys.All,
        .. OutputKeys(),
        .. ServiceKeys(),
    ];

    private static ImmutableArray<ConfigKey> DataKeys() =>
    [
        new("datasets", ConfigKind.SectionList, "What is trained on.") { Required = true, Keys = DatasetKeys() },
        new("eval_datasets", ConfigKind.SectionList, "What is held out.") { Aliases = ["test_datasets"], Keys = DatasetKeys() },
        new("val_set_size", ConfigKind.Number, "Share (below 1) or number of training rows that are held out instead.") { Default = 0.0, Minimum = 0 },
        new("sequence_len", ConfigKind.Integer, "Longest row in tokens; what is beyond is cut off.")
        {
            Aliases = ["max_length", "max_seq_length"],
            Default = 2048L,
            Minimum = 2,
            Maximum = 1 << 20,
        },
        new("sample_packing", ConfigKind.Boolean, "Put several rows into one sequence.")
        {
            Default = false,
            NotYet = on => on is false ? null : "Rows are never padded, so no time is lost without it. Use sample_packing: false.",
        },
        new("train_on_inputs", ConfigKind.Boolean, "Whether prompts carry loss too.") { Default = false },
        new("chat_template", ConfigKind.Path, "Jinja file used instead of the tokenizer's own template.") { Nullable = true },
        new("shuffle", ConfigKind.Boolean, "Whether each epoch has an order of its own; otherwise rows come as they stand.") { Default = true },
    ];

    private static ImmutableArray<ConfigKey> DatasetKeys() =>
    [
        new("path", ConfigKind.Path, "A JSON Lines file.") { Required = true },
        new("type", ConfigKind.Choice, "Layout of its rows.")
        {
            Default = "chat_template",
            Choices = ["chat_template", "alpaca", "completion", "sharegpt", "preference"],
            NotYet = type => type is "preference" ? "Use chat_template, sharegpt, alpaca or completion." : null,
        },
    ];

    private static ImmutableArray<ConfigKey> BatchKeys() =>
    [
        new("micro_batch_size", ConfigKind.Integer, "Rows that are computed together.")
        {
            Aliases = ["per_device_train_batch_size"],
            Default = 2L,
            Minimum = 1,
            Maximum = 4096,
        },
        new("gradient_accumulation_steps", ConfigKind.Integer, "Micro-batches of one optimizer step; workers share them.") { Default = 4L, Minimum = 1, Maximum = 65536 },
        new("global_batch_size", ConfigKind.Integer, "Rows of one optimizer step, instead of gradient_accumulation_steps.") { Nullable = true, Minimum = 1, Maximum = 1 << 24 },
        new("num_epochs", ConfigKind.Number, "Passes over the data.") { Aliases = ["num_train_epochs"], Default = 1.0, Minimum = 0, AboveMinimum = true, Maximum = 100_000 },
        new("max_steps", ConfigKind.Integer, "Number of optimizer steps; -1 leaves it to num_epochs.") { Default = -1L, Minimum = -1, Maximum = 1 << 30 },
    ];

    private static ImmutableArray<ConfigKey> OutputKeys() =>
    [
        new("bf16", ConfigKind.Boolean, "Whether the frozen base is held in bfloat16; auto where the processor has instructions for it.") { Default = "auto", Word = "auto" },
        new("label_smoothing_factor", ConfigKind.Number, "Share of the training loss that is spread over the whole vocabulary.") { Default = 0.0, Minimum = 0, Maximum = 0.999 },
        new("gradient_checkpointing", ConfigKind.Boolean, "Recompute each layer in backward instead of keeping what it made.") { Default = true },
        new("memory_check", ConfigKind.Boolean, "Refuse a run whose predicted memory is more than what is free.") { Default = true },
        new("seed", ConfigKind.Integer, "Seed of everything random.") { Default = 3407L, Minimum = 0 },
        new("output_dir", ConfigKind.Path, "Folder of the run's files.") { Required = true },
        new("logging_steps", ConfigKind.Integer, "Report every so many steps.") { Default = 1L, Minimum = 1, Maximum = 1 << 30 },
        new("eval_steps", ConfigKind.Integer, "Evaluate every so many steps, besides at the start and the end.") { Nullable = true, Minimum = 1, Maximum = 1 << 30 },
        new("save_steps", ConfigKind.Integer, "Snapshot every so many steps.") { Default = 100L, Nullable = true, Minimum = 1, Maximum = 1 << 30 },
        new("save_total_limit", ConfigKind.Integer, "Snapshots that are kept; null keeps all.") { Default = 3L, Nullable = true, Minimum = 2, Maximum = 1 << 30 },
        new("resume_from_checkpoint", ConfigKind.Path, "Folder of the snapshot to go on from; auto goes on where output_dir stands, null starts anew.")
        {
            Default = "auto",
            Word = "auto",
            Nullable = true,
        },
        new("on_nonfinite", ConfigKind.Choice, "What becomes of a micro-batch that is NaN or infinite on two tries: the run fails, or it is left out of its step.")
        {
            Default = "fail",
            Choices = ["fail", "skip"],
        },
        new("early_stopping_patience", ConfigKind.Integer, "Stop after so many evaluations without progress.")
        {
            Nullable = true,
            Minimum = 1,
            NotYet = patience => patience is null ? null : "Use early_stopping_patience: null and set max_steps.",
        },
        new("generate_samples", ConfigKind.Boolean, "Answer the sample prompts and some held-out prompts before and after.") { Default = true },
        new("sample_prompts", ConfigKind.TextList, "Prompts whose answers are shown."),
        new("eval_samples", ConfigKind.Integer, "Held-out rows whose answers are generated for token F1.") { Default = 32L, Minimum = 0, Maximum = 1 << 20 },
        new("max_new_tokens", ConfigKind.Integer, "Longest generated answer.") { Default = 64L, Minimum = 1, Maximum = 1 << 20 },
    ];

    private static ImmutableArray<ConfigKey> ServiceKeys() =>
    [
        new("distributed", ConfigKind.Section, "Who computes.")
        {
            Keys =
            [
                new("workers", ConfigKind.Integer, "Worker processes; auto is one.") { Default = "auto", Word = "auto", Minimum = 1, Maximum = 4096 },
                new("threads_per_worker", ConfigKind.Integer, "Threads of each worker; auto shares the cores out.") { Default = "auto", Word = "auto", Minimum = 1, Maximum = 1024 },
                new("min_workers", ConfigKind.Integer, "Workers that must be there before the run starts.") { Default = 1L, Minimum = 1, Maximum = 4096 },
                new("lease_seconds", ConfigKind.Integer, "A group whose worker shows no progress for so long is given to another.") { Default = 120L, Minimum = 1, Maximum = 86_400 },
                new("compression", ConfigKind.Choice, "Rounding of gradients on the wire.")
                {
                    Default = "none",
                    Choices = ["none", "bf16", "int8"],
                    NotYet = kind => kind is "none" ? null : "Use compression: none.",
                },
            ],
        },
        new("observability", ConfigKind.Section, "Who watches.")
        {
            Keys =
            [
                new("prometheus", ConfigKind.Boolean, "Serve /metrics from coordinator and workers.") { Default = true, NotYet = on => on is true ? null : "Use prometheus: true." },
                new("otlp_endpoint", ConfigKind.Text, "Where traces are sent.")
                {
                    Nullable = true,
                    NotYet = endpoint => endpoint is null ? null : "Set the environment variable OTEL_EXPORTER_OTLP_ENDPOINT instead.",
                },
            ],
        },
        new("alerts", ConfigKind.Section, "Who is told.")
        {
            Keys =
            [
                new("webhook_url", ConfigKind.Text, "Address that alerts are posted to.") { Nullable = true, NotYet = url => url is null ? null : "Use webhook_url: null and Prometheus' alerts." },
                new("on", ConfigKind.TextList, "Events that raise an alert.") { Default = ImmutableArray.Create("nonfinite", "stalled", "worker_lost", "finished", "failed") },
            ],
        },
    ];
}
