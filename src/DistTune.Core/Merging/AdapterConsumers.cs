using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using DistTune.Core.Training;

namespace DistTune.Core.Merging;

/// <summary>A program that reads adapters, and why it cannot take this one.</summary>
/// <param name="Name">The program.</param>
/// <param name="Reasons">What stands against it; empty if it takes the adapter.</param>
/// <param name="Note">What to mind where it does; may be empty.</param>
public sealed record AdapterConsumer(string Name, ImmutableArray<string> Reasons, string Note = "")
{
    /// <summary>Yes with its note, or no with its reasons.</summary>
    public string Answer => Reasons.IsEmpty ? $"yes{(Note.Length == 0 ? "" : $"; {Note}")}" : $"no: {string.Join("; ", Reasons)}";
}

/// <summary>Which programs can take an adapter, by what it holds.</summary>
/// <param name="Consumers">One entry a program.</param>
public sealed record AdapterConsumers(ImmutableArray<AdapterConsumer> Consumers)
{
    private const int UsualMaximumRank = 16;

    /// <summary>What an adapter holds that some programs cannot apply.</summary>
    public sealed record Features
    {
        /// <summary>The largest rank.</summary>
        public required int Rank { get; init; }

        /// <summary>DoRA's magnitudes.</summary>
        public bool Dora { get; init; }

        /// <summary>Scale alpha / sqrt(rank).</summary>
        public bool RankStabilized { get; init; }

        /// <summary>Scales that differ by module.</summary>
        public bool AlphaPattern { get; init; }

        /// <summary>Ranks that differ by module.</summary>
        public bool RankPattern { get; init; }

        /// <summary>Trained biases, of modules or of B.</summary>
        public bool Biases { get; init; }

        /// <summary>Whole modules that were trained.</summary>
        public bool SavedModules { get; init; }

        /// <summary>Name of a start that changes the base, or null.</summary>
        public string? ChangedBase { get; init; }
    }

    /// <summary>Applies the programs' rules.</summary>
    public static AdapterConsumers Of(Features features)
    {
        ArgumentNullException.ThrowIfNull(features);
        string[] everywhere = features.ChangedBase is { } start ? [$"it started as '{start}', which changed the base: export it as the difference (disttune export peft --initial)"] : [];
        var llama = new List<string>(everywhere);
        AddIf(llama, features.RankStabilized, "it always scales by alpha / rank and ignores use_rslora");
        AddIf(llama, features.AlphaPattern, "it ignores alpha_pattern");
        AddIf(llama, features.Dora, "it rejects DoRA");
        AddIf(llama, features.Biases, "it rejects biases");
        AddIf(llama, features.SavedModules, "it rejects whole modules such as a trained head");
        var vllm = new List<string>(everywhere);
        AddIf(vllm, features.Dora, "it rejects DoRA");
        AddIf(vllm, features.SavedModules, "it rejects modules_to_save");
        AddIf(vllm, features.Biases, "it does not apply biases");
        AddIf(vllm, features.AlphaPattern || features.RankPattern, "it scales every module by one alpha / rank");
        var raise = features.Rank > UsualMaximumRank ? string.Create(CultureInfo.InvariantCulture, $"start it with --max-lora-rank {RankStep(features.Rank)} or more") : "";
        return new AdapterConsumers([new("PEFT", [.. everywhere]), new("vLLM", [.. vllm], raise), new("llama.cpp", [.. llama], "convert it with convert_lora_to_gguf.py")]);
    }

    /// <summary>What an adapter holds.</summary>
    public static AdapterConsumers Of(AdapterFolder adapter)
    {
        ArgumentNullException.ThrowIfNull(adapter);
        return Of(FeaturesOf(adapter));
    }

    /// <summary>What an adapter of these settings holds.</summary>
    public static AdapterConsumers Of(AdapterSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return Of(new Features
        {
            Rank = settings.RankPattern.Select(pair => pair.Value).Append(settings.Rank).Max(),
            Dora = settings.Dora,
            RankStabilized = settings.RankStabilized,
            AlphaPattern = !settings.AlphaPattern.IsEmpty,
            RankPattern = !settings.RankPattern.IsEmpty,
            Biases = settings.BiasOfB || settings.Bias != BiasTraining.None,
            SavedModules = !settings.ModulesToSave.IsEmpty,
            ChangedBase = settings.Start switch { LoraStart.Pissa => "pissa", LoraStart.Loftq => "loftq", _ => null },
        });
    }

    /// <summary>What an adapter holds that some programs cannot apply.</summary>
    internal static Features FeaturesOf(AdapterFolder adapter)
    {
        var ranks = adapter.Modules.Select(module => module.Rank).Distinct().ToArray();
        return new Features
        {
            Rank = ranks.DefaultIfEmpty(0).Max(),
            Dora = adapter.Modules.Any(module => module.Magnitude is not null),
            RankStabilized = adapter.Config["use_rslora"] is JsonValue flag && flag.TryGetValue<bool>(out var on) && on,
            AlphaPattern = adapter.Config["alpha_pattern"] is JsonObject { Count: > 0 },
            RankPattern = ranks.Length > 1,
            Biases = adapter.Modules.Any(module => module.BiasOfB is not null) || adapter.Replaced.Keys.Any(name => name.EndsWith(".bias", StringComparison.Ordinal)),
            SavedModules = adapter.Replaced.Keys.Any(name => !name.EndsWith(".bias", StringComparison.Ordinal)),
            ChangedBase = adapter.ChangedBase,
        };
    }

    /// <summary>A section of a model card.</summary>
    public string Render()
    {
        var text = new StringBuilder("\n## Who can take it\n\n| | |\n|---|---|\n");
        foreach (var consumer in Consumers)
        {
            text.Append("| ").Append(consumer.Name).Append(" | ").Append(consumer.Answer).Append(" |\n");
        }

        if (Consumers.Any(consumer => !consumer.Reasons.IsEmpty))
        {
            text.Append("\n`disttune export peft --portable` writes the form that most take; `disttune merge` writes a model that all take.\n");
        }

        return text.ToString();
    }

    private static void AddIf(List<string> reasons, bool stands, string reason)
    {
        if (stands)
        {
            reasons.Add(reason);
        }
    }

    // The maximum is one of a few steps.
    private static int RankStep(int rank) => ((int[])[8, 16, 32, 64, 128, 256, 320, 512]).FirstOrDefault(step => step >= rank, rank);
}
