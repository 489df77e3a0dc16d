using DistTune.Core.Configuration;
using DistTune.Core.Planning;

namespace DistTune.Core.Tests.Planning;

/// <summary>Which keys may change between stop and start: each has a decision, and the plan keeps to it.</summary>
public sealed class ResumeKeysTests
{
    // What every case starts from; a case puts lines over it.
    private const string Run = """
        base_model: model
        datasets: [{path: rows.jsonl}]
        output_dir: out
        lora_r: 2
        micro_batch_size: 2
        gradient_accumulation_steps: 2
        num_epochs: 20
        """;

    private static readonly Decision[] Decisions =
    [
        Part("base_model", "base_model: other"),
        Part("adapter", "adapter: dora"),
        Part("lora_r", "lora_r: 3"),
        Part("lora_alpha", "lora_alpha: 3"),
        Part("lora_dropout", "lora_dropout: 0.1"),
        Part("lora_target_modules", "lora_target_modules: [q_proj]"),
        Part("exclude_modules", "exclude_modules: [q_proj]"),
        Part("layers_to_transform", "layers_to_transform: [0]"),
        Part("layers_pattern", "layers_pattern: [layers]", "layers_to_transform: [0]"),
        Part("rank_pattern", "rank_pattern: {q_proj: 3}"),
        Part("alpha_pattern", "alpha_pattern: {q_proj: 3}"),
        Part("use_rslora", "use_rslora: true"),
        Part("use_dora", "use_dora: true"),
        Part("lora_bias", "lora_bias: true"),
        Part("bias", "bias: all"),
        Part("modules_to_save", "modules_to_save: [norm]"),
        Part("ensure_weight_tying", "ensure_weight_tying: true", "modules_to_save: [embed_tokens]"),
        Part("init_lora_weights", "init_lora_weights: gaussian"),
        Part("loftq_iter", "loftq_iter: 2", "adapter: qlora", "init_lora_weights: loftq"),
        Part("loraplus_lr_ratio", "loraplus_lr_ratio: 2"),
        Part("loraplus_lr_embedding", "loraplus_lr_embedding: 1e-3", "loraplus_lr_ratio: 2"),
        Part("init_adapter", "init_adapter: adapter"),
        Free("init_adapter_strict", "it can only refuse; the values that training starts from are part of the identity", "init_adapter_strict: false", "init_adapter: adapter"),
        Free("load_in_4bit", "it can only agree with adapter, which is part of the identity", "load_in_4bit: true", "adapter: qlora"),
        Fixed("load_in_8bit"),
        Part("bnb_4bit_quant_type", "bnb_4bit_quant_type: fp4", "adapter: qlora"),
        Part("bnb_4bit_use_double_quant", "bnb_4bit_use_double_quant: false", "adapter: qlora"),
        Part("bnb_4bit_blocksize", "bnb_4bit_blocksize: 128", "adapter: qlora"),
        Part("datasets[].path", "datasets: [{path: fewer.jsonl}]"),
        Part("datasets[].type", "datasets: [{path: both.jsonl, type: completion}]", "datasets: [{path: both.jsonl}]"),
        Part("eval_datasets[].path", "eval_datasets: [{path: fewer.jsonl}]"),
        Part("eval_datasets[].type", "eval_datasets: [{path: both.jsonl, type: completion}]", "eval_datasets: [{path: both.jsonl}]"),
        Part("val_set_size", "val_set_size: 2"),
        Part("sequence_len", "sequence_len: 20"),
        Fixed("sample_packing"),
        Part("train_on_inputs", "train_on_inputs: true"),
        Part("chat_template", "chat_template: other.jinja"),
        Part("shuffle", "shuffle: false"),
        Part("micro_batch_size", "micro_batch_size: 1"),
        Part("gradient_accumulation_steps", "gradient_accumulation_steps: 1"),
        Part("global_batch_size", "global_batch_size: 2", "gradient_accumulation_steps:"),
        Part("num_epochs", "num_epochs: 3"),
        Part("max_steps", "max_steps: 3"),
        Part("learning_rate", "learning_rate: 1e-3"),
        Part("lr_scheduler", "lr_scheduler: constant"),
        Part("lr_scheduler_kwargs.num_cycles", "lr_scheduler_kwargs: {num_cycles: 3}", "lr_scheduler: cosine_with_restarts"),
        Part("lr_scheduler_kwargs.min_lr_rate", "lr_scheduler_kwargs: {min_lr_rate: 0.2}", "lr_scheduler: cosine_with_min_lr"),
        Part("lr_scheduler_kwargs.warmup_lr_rate", "lr_scheduler_kwargs: {warmup_lr_rate: 0.2}", "lr_scheduler: cosine_warmup_with_min_lr"),
        Part("lr_scheduler_kwargs.power", "lr_scheduler_kwargs: {power: 2}", "lr_scheduler: polynomial"),
        Part("lr_scheduler_kwargs.lr_end", "lr_scheduler_kwargs: {lr_end: 1e-6}", "lr_scheduler: polynomial"),
        Part("lr_scheduler_kwargs.timescale", "lr_scheduler_kwargs: {timescale: 7}", "lr_scheduler: inverse_sqrt"),
        Part("lr_scheduler_kwargs.num_decay_steps", "lr_scheduler_kwargs: {num_decay_steps: 7}", "lr_scheduler: warmup_stable_decay"),
        Part("lr_scheduler_kwargs.warmup_type", "lr_scheduler_kwargs: {num_decay_steps: 7, warmup_type: cosine}", "lr_scheduler: warmup_stable_decay", "lr_scheduler_kwargs: {num_decay_steps: 7}"),
        Part("lr_scheduler_kwargs.decay_type", "lr_scheduler_kwargs: {num_decay_steps: 7, decay_type: linear}", "lr_scheduler: warmup_stable_decay", "lr_scheduler_kwargs: {num_decay_steps: 7}"),
        Part("warmup_ratio", "warmup_ratio: 0.5"),
        Part("warmup_steps", "warmup_steps: 9"),
        Part("weight_decay", "weight_decay: 0.1"),
        Part("max_grad_norm", "max_grad_norm: 2"),
        Part("optimizer", "optimizer: adamw_8bit"),
        Part("adam_beta1", "adam_beta1: 0.8"),
        Part("adam_beta2", "adam_beta2: 0.98"),
        Part("adam_epsilon", "adam_epsilon: 1e-6"),
        Part("bf16", "bf16: true"),
        Part("label_smoothing_factor", "label_smoothing_factor: 0.1"),
        Free("gradient_checkpointing", "a layer that is computed again gives the same bits", "gradient_checkpointing: false"),
        Free("memory_check", "it can only refuse", "memory_check: false"),
        Part("seed", "seed: 1"),
        Free("output_dir", "a folder may be moved, with what is in it", "output_dir: elsewhere"),
        Free("logging_steps", "what is printed", "logging_steps: 7"),
        Free("eval_steps", "measuring leaves the adapter as it is", "eval_steps: 1"),
        Free("save_steps", "when a snapshot is taken", "save_steps: 3"),
        Free("save_total_limit", "how many snapshots are kept", "save_total_limit: 9"),
        Free("resume_from_checkpoint", "where to go on from", "resume_from_checkpoint: null"),
        Part("on_nonfinite", "on_nonfinite: skip"),
        Fixed("early_stopping_patience"),
        Part("generate_samples", "generate_samples: false", "sample_prompts: [Arpa?]"),
        Part("sample_prompts", "sample_prompts: [Arpa?]"),
        Part("eval_samples", "eval_samples: 1", "val_set_size: 3"),
        Free("max_new_tokens", "the prompts are the same; their answers may be longer", "max_new_tokens: 9"),
        Free("distributed.workers", "who computes a group leaves no trace", "distributed: {workers: 3}"),
        Free("distributed.threads_per_worker", "a group is computed by one thread", "distributed: {threads_per_worker: 3}"),
        Free("distributed.min_workers", "when the run begins", "distributed: {min_workers: 3}"),
        Free("distributed.lease_seconds", "who computes a group leaves no trace", "distributed: {lease_seconds: 5}"),
        Fixed("distributed.compression"),
        Fixed("observability.prometheus"),
        Fixed("observability.otlp_endpoint"),
        Fixed("alerts.webhook_url"),
        Free("alerts.on", "who is told", "alerts: {on: [failed]}"),
    ];

    public static TheoryData<string> Changeable => [.. Decisions.Where(decision => decision.Change is not null).Select(decision => decision.Key)];

    [Fact]
    public void Every_key_is_part_of_the_identity_or_free_with_a_reason()
    {
        var decided = Decisions.Select(decision => decision.Key).ToList();
        Assert.Equal(decided.Count, decided.Distinct(StringComparer.Ordinal).Count());
        Assert.Equal(Leaves(RunConfigKeys.All, "").Select(leaf => leaf.Path).Order(StringComparer.Ordinal), decided.Order(StringComparer.Ordinal));
        Assert.All(Decisions.Where(decision => !decision.IsPart && decision.Change is not null), decision => Assert.NotEmpty(decision.Reason));
    }

    [Fact]
    public void A_key_without_a_value_to_change_to_has_one_value_only()
    {
        var keys = Leaves(RunConfigKeys.All, "").ToDictionary(leaf => leaf.Path, leaf => leaf.Key, StringComparer.Ordinal);
        Assert.All(Decisions.Where(decision => decision.Change is null), decision => Assert.NotNull(keys[decision.Key].NotYet));
    }

    [Theory]
    [MemberData(nameof(Changeable))]
    public async Task A_changed_key_changes_the_identity_exactly_if_it_is_part_of_it(string key)
    {
        var decision = Decisions.Single(decision => decision.Key == key);
        using var tiny = await Folder();

        var before = await Plan(tiny, decision.With);
        var after = await Plan(tiny, [.. decision.With, decision.Change!]);

        Assert.Equal(decision.IsPart, before.Plan.Hashes != after.Plan.Hashes);
        Assert.Equal(decision.IsPart, before.Plan.RunId != after.Plan.RunId);
    }

    private static Decision Part(string key, string change, params string[] with) => new(key, IsPart: true, change, with, "");

    private static Decision Free(string key, string reason, string change, params string[] with) => new(key, IsPart: false, change, with, reason);

    // Only its default is taken so far.
    private static Decision Fixed(string key) => new(key, IsPart: false, null, [], "");

    private static IEnumerable<(string Path, ConfigKey Key)> Leaves(IEnumerable<ConfigKey> keys, string prefix) => keys.SelectMany(key => key.Keys.IsEmpty
        ? [(prefix + key.Name, key)]
        : Leaves(key.Keys, $"{prefix}{key.Name}{(key.Kind is ConfigKind.SectionList ? "[]" : "")}."));

    private static async Task<TinyBase> Folder()
    {
        var tiny = new TinyBase();
        var (model, other) = (Path.Combine(tiny.Folder, "model"), Directory.CreateDirectory(Path.Combine(tiny.Folder, "other")).FullName);
        foreach (var file in Directory.EnumerateFiles(model))
        {
            var bytes = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);
            bytes[^1] = file.EndsWith(".safetensors", StringComparison.Ordinal) ? (byte)0x3F : bytes[^1];
            await File.WriteAllBytesAsync(Path.Combine(other, Path.GetFileName(file)), bytes, TestContext.Current.CancellationToken);
        }

        tiny.WriteRows("fewer.jsonl", [("Buğday ne ister?", "Buğday iyi toprak ister.")]);
        await File.WriteAllTextAsync(
            Path.Combine(tiny.Folder, "both.jsonl"),
            """{"text": "Arpa iyi toprak ister.", "messages": [{"role": "user", "content": "Arpa ne ister?"}, {"role": "assistant", "content": "Su ister."}]}""" + "\n",
            TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(
            Path.Combine(tiny.Folder, "other.jinja"),
            "{% for m in messages %}<|{{ m.role }}|> {{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|> {% endif %}",
            TestContext.Current.CancellationToken);
        var start = await Plan(tiny, ["seed: 5", "output_dir: start"]);
        RunFolder.Create(start).Complete(start, start.InitialAdapter, new RunMeasurement(2, []), new RunMeasurement(1, []), new RunFigures(1, 1, 1, 1));
        Directory.Move(Path.Combine(tiny.Folder, "start", "adapter"), Path.Combine(tiny.Folder, "adapter"));
        return tiny;
    }

    // Later lines of a key replace earlier ones; a key without a value is left out.
    private static Task<PreparedRun> Plan(TinyBase tiny, IEnumerable<string> lines)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var line in Run.Split('\n').Concat(lines))
        {
            var colon = line.IndexOf(':', StringComparison.Ordinal);
            values[line[..colon]] = line[(colon + 1)..];
        }

        var yaml = string.Concat(values.Where(pair => pair.Value.Length > 0).Select(pair => $"{pair.Key}:{pair.Value}\n"));
        return RunPlanner.CreateAsync(
            RunConfigLoader.Load(new ConfigSource(yaml, "run.yaml", tiny.Folder), [], tiny.Folder), bfloat16ByDefault: false, TestContext.Current.CancellationToken);
    }

    /// <param name="Key">The key.</param>
    /// <param name="IsPart">Whether another value is another run.</param>
    /// <param name="Change">A line with another value; null if there is none.</param>
    /// <param name="With">Lines that the value needs.</param>
    /// <param name="Reason">Why it is free.</param>
    private sealed record Decision(string Key, bool IsPart, string? Change, string[] With, string Reason);
}
