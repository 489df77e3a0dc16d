using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Core.Configuration;

/// <summary>The keys that say what is trained, under PEFT's names, and what they come down to.</summary>
internal static class AdapterKeys
{
    private const string Targets = "lora_target_modules";
    private const string Exclude = "exclude_modules";
    private const string Start = "init_lora_weights";
    private const string LoftqIterations = "loftq_iter";

    private static readonly ImmutableArray<(string Name, BiasTraining Bias)> Biases =
        [("none", BiasTraining.None), ("all", BiasTraining.All), ("lora_only", BiasTraining.LoraOnly)];

    private static readonly ImmutableArray<(string Name, LoraStart Start)> Starts =
        [("true", LoraStart.Zero), ("gaussian", LoraStart.Gaussian), ("false", LoraStart.Random), ("pissa", LoraStart.Pissa), ("loftq", LoraStart.Loftq)];

    // What only an adapter has; with `adapter: full` each would be ignored, so each is refused.
    private static readonly ImmutableArray<string> OnlyLora =
    [
        "lora_r", "lora_alpha", "lora_dropout", Targets, Exclude, "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "use_rslora",
        "use_dora", "lora_bias", "bias", "modules_to_save", "ensure_weight_tying", Start, LoftqIterations, "loraplus_lr_ratio", "loraplus_lr_embedding",
        "init_adapter", "init_adapter_strict",
    ];

    public static ImmutableArray<ConfigKey> All { get; } =
    [
        new("adapter", ConfigKind.Choice, "Kind of adapter; full trains every weight.")
        {
            Default = "lora",
            Choices = ["lora", "qlora", "dora", "full"],
        },
        new("lora_r", ConfigKind.Integer, "Rank of the LoRA factors.") { Aliases = ["r"], Default = 8L, Minimum = 1, Maximum = 1024 },
        new("lora_alpha", ConfigKind.Number, "Numerator of the LoRA scale alpha / r.") { Default = 16.0, Minimum = 0, AboveMinimum = true },
        new("lora_dropout", ConfigKind.Number, "Share of LoRA A's inputs that are dropped in training.") { Default = 0.0, Minimum = 0, Maximum = 0.99 },
        new(Targets, ConfigKind.TextList, "Names or dotted suffixes of the modules that get an adapter, or one regular expression for whole names.")
        {
            Aliases = ["target_modules"],
            Default = ImmutableArray.Create(AdapterLayout.AllLinear),
            Word = AdapterLayout.AllLinear,
        },
        new(Exclude, ConfigKind.TextList, "Names or dotted suffixes of modules that get none, or one regular expression."),
        new("layers_to_transform", ConfigKind.IntegerList, "Layers that get an adapter; empty for all.") { Minimum = 0, Maximum = 1 << 16 },
        new("layers_pattern", ConfigKind.TextList, "Names of the lists that layers_to_transform counts in; empty for any."),
        new("rank_pattern", ConfigKind.NumberMap, "Ranks of modules whose name ends in a match of the key; the first match counts.") { Minimum = 1, Maximum = 1024 },
        new("alpha_pattern", ConfigKind.NumberMap, "Alphas of modules whose name ends in a match of the key; the first match counts.") { Minimum = 0, AboveMinimum = true },
        new("use_rslora", ConfigKind.Boolean, "Scale alpha / sqrt(r) instead of alpha / r.") { Default = false },
        new("use_dora", ConfigKind.Boolean, "Train the length of each row apart from its direction; adapter: dora says the same.") { Default = false },
        new("lora_bias", ConfigKind.Boolean, "Whether LoRA B has a bias.") { Default = false },
        new("bias", ConfigKind.Choice, "Biases of the base that are trained too.") { Default = "none", Choices = [.. Biases.Select(bias => bias.Name)] },
        new("modules_to_save", ConfigKind.TextList, "Endings of names of modules that are trained whole.") { Aliases = ["lora_modules_to_save"] },
        new("ensure_weight_tying", ConfigKind.Boolean, "Whether a saved copy of a tied embedding or head serves as both.") { Default = false },
        new(Start, ConfigKind.Choice, "What the factors start from.")
        {
            Default = "true",
            Choices = [.. Starts.Select(start => start.Name)],
        },
        new(LoftqIterations, ConfigKind.Integer, "How often init_lora_weights: loftq quantises and decomposes in turn.") { Default = 1L, Minimum = 1, Maximum = 100 },
        new("loraplus_lr_ratio", ConfigKind.Number, "LoRA+: learning rate of LoRA B over that of LoRA A.") { Nullable = true, Minimum = 0, AboveMinimum = true },
        new("loraplus_lr_embedding", ConfigKind.Number, "LoRA+: learning rate of an embedding's factors.") { Default = 1e-6, Minimum = 0, AboveMinimum = true },
        new("init_adapter", ConfigKind.Path, "PEFT folder whose values training starts from.") { Nullable = true },
        new("init_adapter_strict", ConfigKind.Boolean, "Whether init_adapter must have every tensor and no other; otherwise what it lacks starts afresh.") { Default = true },
    ];

    public static AdapterSettings Read(ResolvedSection values)
    {
        if (values.Text("adapter") == "full")
        {
            return new AdapterSettings(AdapterKind.Full, 1, 1, []);
        }

        var (targets, pattern) = Selection(values.Texts(Targets));
        var (excluded, excludedPattern) = Selection(values.Texts(Exclude));
        return new AdapterSettings(AdapterKind.Lora, values.Integer("lora_r"), values.Number("lora_alpha"), targets)
        {
            TargetPattern = pattern,
            ExcludeModules = excluded,
            ExcludePattern = excludedPattern,
            LayersToTransform = [.. values.Integers("layers_to_transform").Select(layer => checked((int)layer))],
            LayersPattern = values.Texts("layers_pattern"),
            RankPattern = [.. values.Numbers("rank_pattern").Select(pair => KeyValuePair.Create(pair.Key, (int)pair.Value))],
            AlphaPattern = values.Numbers("alpha_pattern"),
            RankStabilized = values.Flag("use_rslora"),
            Dora = values.Flag("use_dora") || values.Text("adapter") == "dora",
            BiasOfB = values.Flag("lora_bias"),
            Bias = Biases.First(bias => bias.Name == values.Text("bias")).Bias,
            ModulesToSave = values.Texts("modules_to_save"),
            EnsureWeightTying = values.Flag("ensure_weight_tying"),
            Dropout = values.Number("lora_dropout"),
            Start = Starts.First(start => start.Name == values.Text(Start)).Start,
            LoftqIterations = values.Integer(LoftqIterations),
        };
    }

    public static LoraPlusSettings? ReadLoraPlus(ResolvedSection values) =>
        values.OptionalNumber("loraplus_lr_ratio") is { } ratio ? new LoraPlusSettings(ratio, values.Number("loraplus_lr_embedding")) : null;

    /// <summary>What one key alone cannot tell.</summary>
    public static IEnumerable<ConfigurationFault> Check(ResolvedSection values)
    {
        if (values["adapter"].Value is "full")
        {
            // A default that is spelled out, as in a resolved configuration, asks for nothing.
            foreach (var name in OnlyLora.Where(name => values.IsSet(name) && !IsDefault(values[name])))
            {
                yield return new(values[name].Origin, $"{name} does not go with adapter: full ({values["adapter"].Origin}), which trains every weight. Remove it, or set adapter: lora.");
            }
        }

        if (values.IsSet("loraplus_lr_embedding") && values["loraplus_lr_ratio"].Value is null && !IsDefault(values["loraplus_lr_embedding"]))
        {
            yield return new(values["loraplus_lr_embedding"].Origin, "loraplus_lr_embedding goes with loraplus_lr_ratio, which is not set. Set it, or remove this one.");
        }

        if (values[Start] is { Value: "loftq", Origin: var loftq } && values["adapter"].Value is not ("qlora" or "full"))
        {
            yield return new(loftq, $"{Start}: loftq starts from what four bits leave out of the base and goes with adapter: qlora, got adapter: {values["adapter"].Value} ({values["adapter"].Origin}). Set adapter: qlora, or {Start}: true.");
        }

        if (values.IsSet(LoftqIterations) && values[Start].Value is not "loftq" && !IsDefault(values[LoftqIterations]))
        {
            yield return new(values[LoftqIterations].Origin, $"{LoftqIterations} goes with {Start}: loftq, got {values[Start].Value} ({values[Start].Origin}). Set it, or remove this one.");
        }

        if (values[Targets] is { Value: ImmutableArray<string> targets, Origin: var origin } && (targets.IsEmpty || targets.Any(string.IsNullOrWhiteSpace)))
        {
            yield return new(origin, $"{Targets} must name at least one module, or be {AdapterLayout.AllLinear}.");
        }

        foreach (var name in (string[])[Targets, Exclude])
        {
            if (values[name] is { Value: ImmutableArray<string> { Length: > 1 } entries, Origin: var where } && entries.FirstOrDefault(ModuleNames.IsPattern) is { } pattern)
            {
                yield return new(where, $"{name}: '{pattern}' is a regular expression, which stands alone and not in a list. Write one expression, or a list of names such as [q_proj, v_proj].");
            }
        }

        if (values["rank_pattern"].Value is ImmutableArray<KeyValuePair<string, double>> ranks && ranks.FirstOrDefault(pair => pair.Value % 1 != 0) is { Key: { } key, Value: var rank })
        {
            yield return new(values["rank_pattern"].Origin, FormattableString.Invariant($"rank_pattern.{key} must be a whole number in 1..1024, got {rank}."));
        }
    }

    // A regular expression stands alone; a name has none of its characters.
    private static (ImmutableArray<string> Names, string? Pattern) Selection(ImmutableArray<string> entries) =>
        entries is [var only] && ModuleNames.IsPattern(only) ? ([], only) : (entries, null);

    private static bool IsDefault(ResolvedValue value) => (value.Value, value.Key.Default) switch
    {
        (ImmutableArray<string> texts, var preset) => texts.SequenceEqual(preset is ImmutableArray<string> expected ? expected : []),
        (ImmutableArray<long> numbers, _) => numbers.IsEmpty,
        (ImmutableArray<KeyValuePair<string, double>> map, _) => map.IsEmpty,
        var (actual, preset) => Equals(actual, preset),
    };
}
