using System.Collections.Immutable;
using DistTune.Core.Models;

namespace DistTune.Core.Training;

/// <summary>From names, patterns and layers to the modules that get an adapter.</summary>
internal static class TargetSelection
{
    /// <summary>The targeted modules, in module order; never none.</summary>
    public static ImmutableArray<BaseModule> Select(DecoderSpec spec, AdapterSettings settings)
    {
        CheckScale(settings);
        var candidates = Candidates(spec);
        var named = Named(candidates, spec, settings);
        var saved = SavedModules.Select(spec, settings);
        ImmutableArray<BaseModule> selected =
        [
            // A module that is named by both is trained whole, as in PEFT.
            .. named.Where(module => !ModuleNames.Selects(settings.ExcludeModules, settings.ExcludePattern, module.Name) && !saved.IsSaved(module.Name) && IsInLayers(module.Name, settings)),
        ];
        return selected.IsEmpty
            ? throw Unmatched($"exclude_modules, modules_to_save and layers_to_transform leave none of the {named.Length} modules that target_modules names", candidates)
            : selected;
    }

    /// <summary>Refuses a list with an entry that names no module.</summary>
    public static void RequireEach(DecoderSpec spec, AdapterSettings settings)
    {
        if (settings.Kind == AdapterKind.Full || settings.TargetPattern is not null || settings.TargetModules is [AdapterLayout.AllLinear])
        {
            return;
        }

        var candidates = Candidates(spec);
        if (settings.TargetModules.FirstOrDefault(target => !candidates.Any(module => ModuleNames.IsSuffix(module.Name, target))) is { } unmatched)
        {
            throw Unmatched($"target_modules names '{unmatched}', which matches no module", candidates);
        }
    }

    /// <summary>Refuses what a kind of module cannot have.</summary>
    public static void CheckKinds(ImmutableArray<BaseModule> targets, AdapterSettings settings)
    {
        if (settings is { Dora: true, BiasOfB: true })
        {
            throw new DistTuneException(FaultKind.Configuration, "use_dora and lora_bias exclude each other: DoRA scales what B writes, a bias would be scaled with it. Keep one.");
        }

        if (targets.FirstOrDefault(module => module.Kind == ModuleKind.Embedding) is { } embedding && settings.BiasOfB)
        {
            throw new DistTuneException(FaultKind.Configuration, $"lora_bias is for linear modules, but '{embedding.Name}' is targeted too. Leave the embedding out, or name it in modules_to_save.");
        }

        if (settings.EnsureWeightTying && targets.Any(module => module.Name is BaseModules.Embedding or BaseModules.Head))
        {
            throw new DistTuneException(FaultKind.Configuration, "ensure_weight_tying is for modules_to_save; an adapter on the embedding or the head is not tied. Set ensure_weight_tying: false, or save the embedding whole.");
        }
    }

    private static ImmutableArray<BaseModule> Named(ImmutableArray<BaseModule> candidates, DecoderSpec spec, AdapterSettings settings)
    {
        if (settings.TargetPattern is { } pattern)
        {
            if (!settings.LayersToTransform.IsDefaultOrEmpty)
            {
                throw new DistTuneException(FaultKind.Configuration, $"layers_to_transform does not go with the pattern '{pattern}'. Write the layers into the pattern, or list the modules.");
            }

            ImmutableArray<BaseModule> matched = [.. candidates.Where(module => ModuleNames.IsWhole(pattern, module.Name))];
            return matched.IsEmpty ? throw Unmatched($"target_modules is the pattern '{pattern}', which is the whole name of no module", candidates) : matched;
        }

        if (settings.TargetModules.IsDefaultOrEmpty)
        {
            throw Unmatched("target_modules is empty", candidates);
        }

        if (settings.TargetModules is [AdapterLayout.AllLinear])
        {
            return [.. candidates.Where(module => module.Kind == ModuleKind.Linear && module.Layer < spec.LayerCount)];
        }

        ImmutableArray<BaseModule> listed = [.. candidates.Where(module => settings.TargetModules.Any(target => ModuleNames.IsSuffix(module.Name, target)))];
        return listed.IsEmpty ? throw Unmatched($"target_modules names {Quoted(settings.TargetModules)}, and no module of the base is called so", candidates) : listed;
    }

    private static string Quoted(IEnumerable<string> names) => string.Join(", ", names.Select(name => $"'{name}'"));

    private static ImmutableArray<BaseModule> Candidates(DecoderSpec spec) => [.. BaseModules.Of(spec).Where(module => module.Kind != ModuleKind.Other)];

    // A module that is listed by its whole name is meant, whatever its layer, as in PEFT.
    private static bool IsInLayers(string module, AdapterSettings settings) =>
        settings.LayersToTransform.IsDefaultOrEmpty
        || settings.TargetModules.Contains(module, StringComparer.Ordinal)
        || (ModuleNames.LayerIndex(settings.LayersPattern, module) is { } layer && settings.LayersToTransform.Contains(layer));

    private static void CheckScale(AdapterSettings settings)
    {
        foreach (var rank in settings.RankPattern.Select(pair => pair.Value).Prepend(settings.Rank))
        {
            if (rank < 1)
            {
                throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"The adapter's rank must be at least 1, got {rank}. Set the rank."));
            }
        }

        foreach (var alpha in settings.AlphaPattern.Select(pair => pair.Value).Prepend(settings.Alpha))
        {
            if (!double.IsFinite(alpha) || alpha <= 0)
            {
                throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"The adapter's alpha must be above 0, got {alpha}. Set alpha."));
            }
        }
    }

    private static DistTuneException Unmatched(string problem, ImmutableArray<BaseModule> candidates)
    {
        // The embedding is named last: it is rarely what a target list misspells.
        var names = candidates.OrderBy(module => module.Kind)
            .Select(module => module.Name[(module.Name.LastIndexOf('.') + 1)..])
            .Distinct(StringComparer.Ordinal);
        return new DistTuneException(
            FaultKind.Configuration,
            $"{problem}. The base has: {string.Join(", ", names)}; '{AdapterLayout.AllLinear}' alone means all but head and embedding. Correct target_modules.");
    }
}
