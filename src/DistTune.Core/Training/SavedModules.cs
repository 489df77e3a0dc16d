using System.Collections.Immutable;
using DistTune.Core.Models;

namespace DistTune.Core.Training;

/// <summary>The modules that are trained whole, as copies of the base's (PEFT's <c>modules_to_save</c>).</summary>
internal sealed class SavedModules
{
    private readonly DecoderSpec _spec;
    private readonly ImmutableArray<string> _endings;
    private readonly bool _isTied;

    private SavedModules(DecoderSpec spec, ImmutableArray<string> endings, bool ensureTying)
    {
        _spec = spec;
        _endings = endings;
        _isTied = ensureTying && spec.TiedHead && (IsNamed(BaseModules.Embedding) || IsNamed(BaseModules.Head));
    }

    /// <summary>Selects by plain endings of names, those of modules above included.</summary>
    /// <exception cref="DistTuneException">An ending matches nothing.</exception>
    public static SavedModules Select(DecoderSpec spec, AdapterSettings settings)
    {
        var modules = BaseModules.Of(spec);
        foreach (var ending in settings.ModulesToSave)
        {
            if (ending.Length == 0 || !modules.Any(module => Names(module.Name).Any(name => name.EndsWith(ending, StringComparison.Ordinal))))
            {
                var known = modules.Select(module => module.Name[(module.Name.LastIndexOf('.') + 1)..]).Distinct(StringComparer.Ordinal);
                throw new DistTuneException(FaultKind.Configuration, $"modules_to_save names '{ending}', which matches no module. The base has: {string.Join(", ", known)}. Correct modules_to_save.");
            }
        }

        return new SavedModules(spec, settings.ModulesToSave, settings.EnsureWeightTying);
    }

    /// <summary>Whether a module is trained whole.</summary>
    public bool IsSaved(string module) => IsNamed(module) || (_isTied && module is (BaseModules.Embedding or BaseModules.Head));

    /// <summary>The trained tensors of a module that is trained whole.</summary>
    public IEnumerable<ParameterEntry> Entries(BaseModule module)
    {
        if (module.Name == BaseModules.Head && _spec.TiedHead)
        {
            // The embedding's copy serves both, or the head gets a copy of its own.
            return _isTied ? [] : [Saved(new WeightSpec($"{BaseModules.Head}{BaseModules.Weight}", [module.Out, module.In], module.Layer))];
        }

        var entries = module.Weights.Select(Saved);
        return _isTied && module.Name == BaseModules.Embedding
            ? entries.Select(entry => entry with { Aliases = [$"{AdapterLayout.Prefix}{BaseModules.Head}{BaseModules.Weight}"] })
            : entries;
    }

    private static ParameterEntry Saved(WeightSpec weight) => AdapterLayout.Whole(weight, $"{AdapterLayout.Prefix}{weight.Name}");

    private bool IsNamed(string module) => Names(module).Any(name => _endings.Any(ending => name.EndsWith(ending, StringComparison.Ordinal)));

    // The module itself and those that hold it: saving `mlp` saves everything below.
    private static IEnumerable<string> Names(string module)
    {
        yield return module;
        for (var dot = module.LastIndexOf('.'); dot > 0; dot = module.LastIndexOf('.', dot - 1))
        {
            yield return module[..dot];
        }
    }
}
