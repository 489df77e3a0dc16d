namespace DistTune.Core.Training;

/// <summary>Learning rates of LoRA+ (Hayou et al. 2024, arXiv:2402.12354).</summary>
/// <param name="Ratio">Rate of what writes (B and vectors) over that of what reads (A).</param>
/// <param name="EmbeddingRate">Rate of both factors of an embedding.</param>
public sealed record LoraPlusSettings(double Ratio, double EmbeddingRate = 1e-6);

/// <summary>Which trained tensors decay, and at which rate each learns.</summary>
public static class ParameterGroups
{
    private static readonly string[] Undecayed = ["bias", "layernorm", "rmsnorm"];

    /// <summary>
    /// Whether weight decay applies, as transformers' Trainer groups by name: not to what contains <c>bias</c>, <c>layernorm</c> or
    /// <c>rmsnorm</c>, nor to a part named <c>norm</c> or ending in <c>_norm</c>.
    /// </summary>
    public static bool Decays(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return !Undecayed.Any(part => name.Contains(part, StringComparison.OrdinalIgnoreCase))
            && !name.Split('.').Any(part => part.Equals("norm", StringComparison.OrdinalIgnoreCase) || part.EndsWith("_norm", StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>The layout with LoRA+'s rates: A at the rate itself, B and vectors at its multiple, an embedding's factors at their own.</summary>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">The rates; null leaves all at one.</param>
    /// <param name="learningRate">The rate itself.</param>
    public static ParameterLayout WithRates(ParameterLayout layout, LoraPlusSettings? settings, double learningRate)
    {
        ArgumentNullException.ThrowIfNull(layout);
        return settings is null
            ? layout
            : ParameterLayout.Create(layout.Entries.Select(entry => entry with { LearningRateScale = Scale(entry, settings, learningRate) }));
    }

    private static double Scale(ParameterEntry entry, LoraPlusSettings settings, double learningRate) => entry.Role switch
    {
        TensorRole.EmbeddingA or TensorRole.EmbeddingB => settings.EmbeddingRate / learningRate,
        TensorRole.LoraB => settings.Ratio,
        _ => entry.Shape.Length == 1 ? settings.Ratio : 1,
    };
}
