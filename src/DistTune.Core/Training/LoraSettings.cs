using System.Collections.Immutable;

namespace DistTune.Core.Training;

/// <summary>What is trained.</summary>
public enum AdapterKind
{
    /// <summary>Low-rank adapters on linear modules (Hu et al. 2021, arXiv:2106.09685).</summary>
    Lora,

    /// <summary>Every weight of the base.</summary>
    Full,
}

/// <summary>Which adapter is trained, in the terms of PEFT.</summary>
/// <param name="Kind">LoRA, or all weights.</param>
/// <param name="Rank">r.</param>
/// <param name="Alpha">Numerator of the scale alpha / r.</param>
/// <param name="TargetModules">Names or dotted suffixes of linear modules; the single entry <c>all-linear</c> means all but the output head.</param>
public sealed record AdapterSettings(AdapterKind Kind, int Rank, double Alpha, ImmutableArray<string> TargetModules)
{
    /// <summary>Factor on B A x.</summary>
    public double Scale => Alpha / Rank;
}
