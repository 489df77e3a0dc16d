using DistTune.Core.Training;

namespace DistTune.Core.Numerics;

/// <summary>The factors of an adapted linear module.</summary>
/// <param name="Module">Its name, without <c>.weight</c>.</param>
/// <param name="A">[rank, in].</param>
/// <param name="B">[out, rank].</param>
internal readonly record struct FactorPair(string Module, ParameterEntry A, ParameterEntry B)
{
    public int Rank => checked((int)A.Shape[0]);

    public int Columns => checked((int)A.Shape[1]);

    public int Rows => checked((int)B.Shape[0]);

    public string Weight => $"{Module}{BaseModules.Weight}";

    /// <summary>The pairs of a layout, in its order.</summary>
    public static IEnumerable<FactorPair> Of(ParameterLayout layout)
    {
        var entries = layout.Entries.Where(entry => entry.Role == TensorRole.LoraB).ToDictionary(entry => entry.Module, StringComparer.Ordinal);
        return layout.Entries.Where(entry => entry.Role == TensorRole.LoraA).Select(a => new FactorPair(a.Module, a, entries[a.Module]));
    }

    /// <summary>Refuses a rank that the module's weight cannot have.</summary>
    /// <exception cref="DistTuneException">It is above the shorter side.</exception>
    public void RequireRank()
    {
        if (Rank > Math.Min(Rows, Columns))
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"'{Module}' is [{Rows}, {Columns}], which has no {Rank} singular values. Lower its rank, or use init_lora_weights: true."));
        }
    }

    /// <summary>Refuses what a start from the base's own values cannot be taken out of again.</summary>
    /// <param name="start">The start's name.</param>
    /// <param name="layout">The trained tensors.</param>
    /// <param name="settings">What is trained.</param>
    /// <exception cref="DistTuneException">All weights, lengths of rows or an embedding's factors are trained.</exception>
    public static void RequirePlain(string start, ParameterLayout layout, AdapterSettings settings)
    {
        var what = settings switch
        {
            { Kind: not AdapterKind.Lora } => "training all weights",
            { Dora: true } => "DoRA, whose lengths do not come apart from the start again",
            _ when layout.Entries.Any(entry => entry.Role is TensorRole.EmbeddingA or TensorRole.EmbeddingB) => "factors on an embedding",
            _ => null,
        };
        if (what is not null)
        {
            throw new DistTuneException(FaultKind.Configuration, $"init_lora_weights: {start} does not go with {what}. Use init_lora_weights: true.");
        }
    }
}
