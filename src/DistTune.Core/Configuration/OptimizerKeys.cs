using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Core.Configuration;

/// <summary>Optimizer and schedule: the keys that fine-tuning and pretraining share, and what they come down to.</summary>
internal static class OptimizerKeys
{
    private const string EightBit = "adamw_8bit";

    /// <summary>Transformers' names of the schedules.</summary>
    private static readonly ImmutableArray<(string Name, ScheduleKind Kind)> Schedules =
    [
        ("constant", ScheduleKind.Constant),
        ("constant_with_warmup", ScheduleKind.ConstantWithWarmup),
        ("linear", ScheduleKind.Linear),
        ("cosine", ScheduleKind.Cosine),
        ("cosine_with_restarts", ScheduleKind.CosineWithRestarts),
        ("cosine_with_min_lr", ScheduleKind.CosineWithMinimum),
        ("cosine_warmup_with_min_lr", ScheduleKind.CosineWarmupWithMinimum),
        ("polynomial", ScheduleKind.Polynomial),
        ("inverse_sqrt", ScheduleKind.InverseSquareRoot),
        ("warmup_stable_decay", ScheduleKind.WarmupStableDecay),
    ];

    private static readonly ImmutableArray<(string Name, RampShape Shape)> Shapes =
        [("linear", RampShape.Linear), ("cosine", RampShape.Cosine), ("1-sqrt", RampShape.OneMinusSquareRoot)];

    public static ImmutableArray<ConfigKey> All { get; } =
    [
        new("learning_rate", ConfigKind.Number, "Highest learning rate.") { Aliases = ["lr"], Default = 2e-4, Minimum = 0, AboveMinimum = true, Maximum = 100 },
        new("lr_scheduler", ConfigKind.Choice, "How the learning rate moves.")
        {
            Aliases = ["lr_scheduler_type"],
            Default = "cosine",
            Choices = [.. Schedules.Select(schedule => schedule.Name)],
        },
        new("lr_scheduler_kwargs", ConfigKind.Section, "What single schedules take besides.")
        {
            Keys =
            [
                new("num_cycles", ConfigKind.Number, "Cosines: number of cycles.") { Nullable = true, Minimum = 0, AboveMinimum = true },
                new("min_lr_rate", ConfigKind.Number, "Share of the rate that is never undercut.") { Aliases = ["min_lr_ratio"], Default = 0.0, Minimum = 0, Maximum = 1 },
                new("warmup_lr_rate", ConfigKind.Number, "cosine_warmup_with_min_lr: share of the rate at step 0.") { Nullable = true, Minimum = 0, Maximum = 1 },
                new("power", ConfigKind.Number, "polynomial: the exponent.") { Default = 1.0, Minimum = 0, AboveMinimum = true },
                new("lr_end", ConfigKind.Number, "polynomial: the rate at the end.") { Default = 1e-7, Minimum = 0 },
                new("timescale", ConfigKind.Integer, "inverse_sqrt: steps until the rate has fallen by the root of two.") { Nullable = true, Minimum = 1, Maximum = 1 << 30 },
                new("num_decay_steps", ConfigKind.Integer, "warmup_stable_decay: steps of the decay.") { Default = 0L, Minimum = 0, Maximum = 1 << 30 },
                new("warmup_type", ConfigKind.Choice, "warmup_stable_decay: shape of the warmup.") { Default = "linear", Choices = [.. Shapes.Select(shape => shape.Name)] },
                new("decay_type", ConfigKind.Choice, "warmup_stable_decay: shape of the decay.") { Default = "cosine", Choices = [.. Shapes.Select(shape => shape.Name)] },
            ],
        },
        new("warmup_ratio", ConfigKind.Number, "Share of all steps that warm up.") { Default = 0.03, Minimum = 0, Maximum = 1 },
        new("warmup_steps", ConfigKind.Number, "Steps that warm up, instead of warmup_ratio; below 1 it is a share.") { Nullable = true, Minimum = 0, Maximum = 1 << 30 },
        new("weight_decay", ConfigKind.Number, "AdamW's decay.") { Default = 0.0, Minimum = 0, Maximum = 10 },
        new("max_grad_norm", ConfigKind.Number, "Global gradient norm above which gradients are scaled down; null or 0 never does.") { Default = 1.0, Nullable = true, Minimum = 0 },
        new("optimizer", ConfigKind.Choice, "AdamW, its moments in fp32 or in eight bits.") { Aliases = ["optim"], Default = "adamw", Choices = ["adamw", "adamw_torch", EightBit, "adamw_bnb_8bit"] },
        new("adam_beta1", ConfigKind.Number, "Decay of the first moment.") { Default = 0.9, Minimum = 0, Maximum = 0.999999 },
        new("adam_beta2", ConfigKind.Number, "Decay of the second moment.") { Default = 0.999, Minimum = 0, Maximum = 0.9999999 },
        new("adam_epsilon", ConfigKind.Number, "Added to the root of the second moment.") { Default = 1e-8, Minimum = 0, AboveMinimum = true },
    ];

    public static OptimizerConfig Read(ResolvedSection values)
    {
        var extra = values.Section("lr_scheduler_kwargs");
        var maximumNorm = values.OptionalNumber("max_grad_norm");
        return new OptimizerConfig
        {
            Optimizer = new OptimizerSettings(values.Number("adam_beta1"), values.Number("adam_beta2"), values.Number("adam_epsilon"), values.Number("weight_decay"))
            {
                EightBit = values.Text("optimizer") is EightBit or "adamw_bnb_8bit",
            },
            LearningRate = values.Number("learning_rate"),
            Schedule = Schedules.First(schedule => string.Equals(schedule.Name, values.Text("lr_scheduler"), StringComparison.Ordinal)).Kind,
            ScheduleOptions = new ScheduleOptions
            {
                Cycles = extra.OptionalNumber("num_cycles"),
                MinimumShare = extra.Number("min_lr_rate"),
                WarmupStartShare = extra.OptionalNumber("warmup_lr_rate"),
                Power = extra.Number("power"),
                EndRate = extra.Number("lr_end"),
                Timescale = extra.OptionalInteger("timescale"),
                DecaySteps = extra.Integer("num_decay_steps"),
                WarmupShape = Shape(extra.Text("warmup_type")),
                DecayShape = Shape(extra.Text("decay_type")),
            },
            Warmup = values.OptionalNumber("warmup_steps") ?? values.Number("warmup_ratio"),
            MaxGradientNorm = maximumNorm is 0 ? null : maximumNorm,
        };
    }

    public static IEnumerable<ConfigurationFault> Check(ResolvedSection values)
    {
        if (values.IsSet("warmup_steps") && values["warmup_steps"].Value is not null && values.IsSet("warmup_ratio"))
        {
            yield return new(values["warmup_steps"].Origin, $"warmup_steps and warmup_ratio ({values["warmup_ratio"].Origin}) exclude each other. Keep one.");
        }

        if (values["warmup_ratio"].Value is 1.0)
        {
            yield return new(values["warmup_ratio"].Origin, "warmup_ratio must be below 1, got 1: the full rate would never be reached. Use warmup_steps for a number of steps.");
        }
    }

    private static RampShape Shape(string name) => Shapes.First(shape => string.Equals(shape.Name, name, StringComparison.Ordinal)).Shape;
}
