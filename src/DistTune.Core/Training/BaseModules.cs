using System.Collections.Immutable;
using DistTune.Core.Models;

namespace DistTune.Core.Training;

/// <summary>What a module of the base computes.</summary>
public enum ModuleKind
{
    /// <summary>y = W x + b.</summary>
    Linear,

    /// <summary>A row of W for each token.</summary>
    Embedding,

    /// <summary>Anything else that has weights, such as a norm.</summary>
    Other,
}

/// <summary>A module of the base that owns weights.</summary>
/// <param name="Name">Dotted name.</param>
/// <param name="Kind">What it computes.</param>
/// <param name="In">Inputs of a linear module, V of an embedding.</param>
/// <param name="Out">Outputs of a linear module, D of an embedding.</param>
/// <param name="Layer">Decoder layer; -1 before the first, the layer count after the last.</param>
/// <param name="Weights">Its own weights; a tied head has none.</param>
public sealed record BaseModule(string Name, ModuleKind Kind, int In, int Out, int Layer, ImmutableArray<WeightSpec> Weights)
{
    /// <summary>The bias, if there is one.</summary>
    public WeightSpec? Bias => Weights.FirstOrDefault(weight => weight.Name.Length == Name.Length + BaseModules.Bias.Length && weight.Name.EndsWith(BaseModules.Bias, StringComparison.Ordinal));
}

/// <summary>The modules of a base in canonical order: embedding, layers, last norm, head.</summary>
public static class BaseModules
{
    /// <summary>Name of the embedding.</summary>
    public const string Embedding = "model.embed_tokens";

    /// <summary>Name of the output head.</summary>
    public const string Head = "lm_head";

    /// <summary>Ends the name of a module's matrix or gain.</summary>
    public const string Weight = ".weight";

    /// <summary>Ends the name of a module's bias.</summary>
    public const string Bias = ".bias";

    /// <summary>All modules that own weights, and the head even if it is tied.</summary>
    public static ImmutableArray<BaseModule> Of(DecoderSpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        var linears = spec.Linears.ToDictionary(module => module.Name, StringComparer.Ordinal);
        var modules = ImmutableArray.CreateBuilder<BaseModule>();
        foreach (var group in spec.Weights.GroupBy(weight => Owner(weight.Name), StringComparer.Ordinal))
        {
            var weights = group.ToImmutableArray();
            modules.Add(linears.TryGetValue(group.Key, out var linear)
                ? new BaseModule(linear.Name, ModuleKind.Linear, linear.In, linear.Out, linear.Layer, weights)
                : group.Key == Embedding
                    ? new BaseModule(Embedding, ModuleKind.Embedding, spec.VocabularySize, spec.HiddenSize, -1, weights)
                    : new BaseModule(group.Key, ModuleKind.Other, 0, 0, weights[0].Layer, weights));
        }

        if (spec.TiedHead)
        {
            modules.Add(new BaseModule(Head, ModuleKind.Linear, spec.HiddenSize, spec.VocabularySize, spec.LayerCount, []));
        }

        return modules.ToImmutable();
    }

    private static string Owner(string weight) => weight[..weight.LastIndexOf('.')];
}
