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

    /// <summary>Builds the layout: A before B of each targeted module in module order, or every weight of the base (a tied head once).</summary>
    /// <exception cref="DistTuneException">A target matches no linear module, or the rank or alpha is out of range.</exception>
    public static ParameterLayout Create(DecoderSpec spec, AdapterSettings settings)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(settings);
        return settings.Kind switch
        {
            AdapterKind.Full => ParameterLayout.Create(spec.Weights.Select(WholeWeight)),
            _ => ParameterLayout.Create(Targets(spec, settings).SelectMany(module => Factors(module, settings.Rank))),
        };
    }

    /// <summary>The linear modules that an adapter targets, in module order.</summary>
    /// <exception cref="DistTuneException">A target matches no linear module, or the rank or alpha is out of range.</exception>
    public static ImmutableArray<LinearModule> Targets(DecoderSpec spec, AdapterSettings settings)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(settings);
        CheckScale(settings);
        if (settings.TargetModules.IsDefaultOrEmpty)
        {
            throw Unmatched("target_modules is empty", spec);
        }

        if (settings.TargetModules is [AllLinear])
        {
            return [.. spec.Linears.Where(module => module.Layer < spec.LayerCount)];
        }

        foreach (var target in settings.TargetModules)
        {
            if (!spec.Linears.Any(module => Matches(module.Name, target)))
            {
                throw Unmatched($"target_modules names '{target}', which matches no linear module", spec);
            }
        }

        return [.. spec.Linears.Where(module => settings.TargetModules.Any(target => Matches(module.Name, target)))];
    }

    /// <summary>Whether a target is the module's name or a dotted suffix of it, as PEFT matches a list.</summary>
    public static bool Matches(string module, string target) =>
        module.EndsWith(target, StringComparison.Ordinal)
        && target.Length > 0
        && (module.Length == target.Length || module[module.Length - target.Length - 1] == '.');

    private static ParameterEntry WholeWeight(WeightSpec weight) =>
        // As the reference trainer groups them: biases and norm gains (the vectors) are not decayed.
        new(weight.Name, weight.Shape, 0, weight.Layer, WeightDecay: weight.Shape.Length > 1);

    private static IEnumerable<ParameterEntry> Factors(LinearModule module, int rank) =>
    [
        new($"{Prefix}{module.Name}{SuffixA}", [rank, module.In], 0, module.Layer),
        new($"{Prefix}{module.Name}{SuffixB}", [module.Out, rank], 0, module.Layer),
    ];

    private static void CheckScale(AdapterSettings settings)
    {
        if (settings.Rank < 1)
        {
            throw new DistTuneException(FaultKind.Configuration, $"The adapter's rank must be at least 1, got {settings.Rank}. Set the rank.");
        }

        if (!double.IsFinite(settings.Alpha) || settings.Alpha <= 0)
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                FormattableString.Invariant($"The adapter's alpha must be above 0, got {settings.Alpha}. Set alpha."));
        }
    }

    private static DistTuneException Unmatched(string problem, DecoderSpec spec)
    {
        var names = spec.Linears.Select(module => module.Name[(module.Name.LastIndexOf('.') + 1)..]).Distinct(StringComparer.Ordinal);
        return new DistTuneException(
            FaultKind.Configuration,
            $"{problem}. The base has: {string.Join(", ", names)}; '{AllLinear}' alone means all but the head. Correct target_modules.");
    }
}
