using System.Collections.Immutable;
using DistTune.Core.Models;

namespace DistTune.Core.Training;

/// <summary>Which tensors are trained, in canonical order, from what the base is and what the user asked for.</summary>
public static class AdapterLayout
{
    /// <summary>Means every linear module but the output head.</summary>
    public const string AllLinear = "all-linear";

    /// <summary>What PEFT puts before a module's own name.</summary>
    public const string Prefix = "base_model.model.";

    /// <summary>Ends the name of the factor that reads the input, [rank, in].</summary>
    public const string SuffixA = ".lora_A.weight";

    /// <summary>Ends the name of the factor that writes the output, [out, rank].</summary>
    public const string SuffixB = ".lora_B.weight";

    /// <summary>Ends the name of an embedding's factor that reads the token, [rank, V].</summary>
    public const string SuffixEmbeddingA = ".lora_embedding_A";

    private const string SuffixMagnitude = ".lora_magnitude_vector";

    /// <summary>What PEFT puts between an adapted module's name and that of its own weight.</summary>
    public const string BaseLayer = ".base_layer";

    /// <summary>Builds the layout, module by module; or every weight of the base (a tied head once).</summary>
    /// <exception cref="DistTuneException">No target matches, a module to save matches nothing, settings contradict each other, or rank or alpha is out of range.</exception>
    public static ParameterLayout Create(DecoderSpec spec, AdapterSettings settings)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(settings);
        if (settings.Kind == AdapterKind.Full)
        {
            return ParameterLayout.Create(spec.Weights.Select(weight => Whole(weight, weight.Name)));
        }

        var targets = Targets(spec, settings).Select(module => module.Name).ToHashSet(StringComparer.Ordinal);
        var saved = SavedModules.Select(spec, settings);
        return ParameterLayout.Create(BaseModules.Of(spec).SelectMany(module =>
            targets.Contains(module.Name) ? Adapted(module, settings)
            : saved.IsSaved(module.Name) ? saved.Entries(module)
            : settings.Bias == BiasTraining.All && module.Bias is { } bias ? [Bias(module, bias, "")]
            : Enumerable.Empty<ParameterEntry>()));
    }

    /// <summary>
    /// Refuses a list of targets of which one matches nothing: what a person wrote is meant. Adapters that others made may list more than
    /// the base has, as PEFT allows, so the layout itself takes what there is.
    /// </summary>
    /// <exception cref="DistTuneException">A target matches no module; the message lists those there are.</exception>
    public static void RequireEachTarget(DecoderSpec spec, AdapterSettings settings)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(settings);
        TargetSelection.RequireEach(spec, settings);
    }

    /// <summary>The modules that an adapter targets, in module order.</summary>
    /// <exception cref="DistTuneException">No target matches a module, settings contradict each other, or rank or alpha is out of range.</exception>
    public static ImmutableArray<BaseModule> Targets(DecoderSpec spec, AdapterSettings settings)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(settings);
        var targets = TargetSelection.Select(spec, settings);
        TargetSelection.CheckKinds(targets, settings);
        return targets;
    }

    /// <summary>Whether a target is the module's name or a dotted suffix of it, as PEFT matches a list.</summary>
    public static bool Matches(string module, string target) => ModuleNames.IsSuffix(module, target);

    /// <summary>A weight of the base that is trained itself.</summary>
    internal static ParameterEntry Whole(WeightSpec weight, string name)
    {
        var isBias = weight.Name.EndsWith(BaseModules.Bias, StringComparison.Ordinal);
        return new ParameterEntry(name, weight.Shape, 0, weight.Layer, ParameterGroups.Decays(name))
        {
            Module = weight.Name[..weight.Name.LastIndexOf('.')],
            Role = isBias ? TensorRole.Bias : TensorRole.Weight,
        };
    }

    private static IEnumerable<ParameterEntry> Adapted(BaseModule module, AdapterSettings settings)
    {
        long rank = settings.RankOf(module.Name);
        if (module.Kind == ModuleKind.Embedding)
        {
            yield return Entry(module, TensorRole.EmbeddingA, SuffixEmbeddingA, rank, module.In);
            yield return Entry(module, TensorRole.EmbeddingB, ".lora_embedding_B", module.Out, rank);
            if (settings.Dora)
            {
                yield return Entry(module, TensorRole.Magnitude, SuffixMagnitude, module.Out);
            }

            yield break;
        }

        yield return Entry(module, TensorRole.LoraA, SuffixA, rank, module.In);
        yield return Entry(module, TensorRole.LoraB, SuffixB, module.Out, rank);
        if (settings.BiasOfB)
        {
            yield return Entry(module, TensorRole.LoraBias, ".lora_B.bias", module.Out);
        }

        if (settings.Bias != BiasTraining.None && module.Bias is { } bias)
        {
            yield return Bias(module, bias, BaseLayer);
        }

        if (settings.Dora)
        {
            yield return Entry(module, TensorRole.Magnitude, SuffixMagnitude, module.Out);
        }
    }

    private static ParameterEntry Entry(BaseModule module, TensorRole role, string suffix, params ImmutableArray<long> shape) =>
        new($"{Prefix}{module.Name}{suffix}", shape, 0, module.Layer, ParameterGroups.Decays(suffix)) { Module = module.Name, Role = role };

    private static ParameterEntry Bias(BaseModule module, WeightSpec bias, string infix) =>
        Whole(bias, $"{Prefix}{module.Name}{infix}{BaseModules.Bias}");
}
