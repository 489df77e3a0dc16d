namespace DistTune.Modeling.Loralib;

/// <summary>Which biases are trained and saved beside the factors.</summary>
public enum BiasKind
{
    /// <summary>None.</summary>
    None,

    /// <summary>Those of the layers with LoRA.</summary>
    LoraOnly,

    /// <summary>Every one.</summary>
    All,
}

/// <summary>loralib's two functions over a whole model.</summary>
public static class LoraTraining
{
    private const string FactorMark = "lora_";
    private const string BiasMark = "bias";

    /// <summary>Freezes everything but the factors and the biases of the kind.</summary>
    /// <remarks>
    /// As loralib: <see cref="BiasKind.LoraOnly"/> also trains the bias of a layer with r = 0, and never that of a convolution, whose
    /// bias belongs to the module below it.
    /// </remarks>
    public static void MarkOnlyLoraAsTrainable(LoraModule model, BiasKind bias = BiasKind.None)
    {
        ArgumentNullException.ThrowIfNull(model);
        foreach (var (name, value) in model.NamedParameters())
        {
            // Factors stay as they are.
            if (!IsFactor(name))
            {
                value.requires_grad = bias == BiasKind.All && IsBias(name);
            }
        }

        if (bias == BiasKind.LoraOnly)
        {
            foreach (var own in model.Modules.OfType<LoraLayer>().Select(layer => layer.Parameter(BiasMark)).OfType<Tensor>())
            {
                own.requires_grad = true;
            }
        }
    }

    /// <summary>The factors and the biases of the kind, by name, in loralib's order: with <see cref="BiasKind.LoraOnly"/> a bias follows its layer's first factor.</summary>
    public static IReadOnlyList<KeyValuePair<string, Tensor>> LoraStateDict(LoraModule model, BiasKind bias = BiasKind.None)
    {
        ArgumentNullException.ThrowIfNull(model);
        var all = model.NamedParameters().ToList();
        if (bias != BiasKind.LoraOnly)
        {
            return [.. all.Where(pair => IsFactor(pair.Key) || (bias == BiasKind.All && IsBias(pair.Key)))];
        }

        var byName = all.ToDictionary(pair => pair.Key, pair => pair.Value, StringComparer.Ordinal);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var state = new List<KeyValuePair<string, Tensor>>();
        foreach (var (name, value) in all.Where(pair => IsFactor(pair.Key)))
        {
            state.Add(KeyValuePair.Create(name, value));
            var biasName = name[..name.IndexOf(FactorMark, StringComparison.Ordinal)] + BiasMark;
            if (byName.TryGetValue(biasName, out var own) && seen.Add(biasName))
            {
                state.Add(KeyValuePair.Create(biasName, own));
            }
        }

        return state;
    }

    private static bool IsFactor(string name) => name.Contains(FactorMark, StringComparison.Ordinal);

    private static bool IsBias(string name) => name.Contains(BiasMark, StringComparison.Ordinal);
}
