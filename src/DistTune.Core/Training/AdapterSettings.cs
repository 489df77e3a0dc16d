using System.Collections.Immutable;

namespace DistTune.Core.Training;

/// <summary>What is trained.</summary>
public enum AdapterKind
{
    /// <summary>Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), in any of the kinds that <see cref="AdapterSettings"/> can say.</summary>
    Lora,

    /// <summary>Every weight of the base.</summary>
    Full,
}

/// <summary>Which biases of the base are trained besides the adapter.</summary>
public enum BiasTraining
{
    /// <summary>None.</summary>
    None,

    /// <summary>Every bias there is.</summary>
    All,

    /// <summary>Those of the adapted modules.</summary>
    LoraOnly,
}

/// <summary>What the LoRA factors start from, as PEFT's <c>init_lora_weights</c>.</summary>
public enum LoraStart
{
    /// <summary>A uniform (Kaiming with a = √5), B zero: at first the adapter changes nothing. PEFT's <c>true</c>.</summary>
    Zero,

    /// <summary>A normal with deviation 1/r, B zero.</summary>
    Gaussian,

    /// <summary>Both factors random, so that every gradient shows at once; for tests. PEFT's <c>false</c>.</summary>
    Random,

    /// <summary>The base's principal singular vectors; the base keeps the rest (Meng et al. 2024, arXiv:2404.02948).</summary>
    Pissa,

    /// <summary>What quantisation of the base left over (Li et al. 2023, arXiv:2310.08659).</summary>
    Loftq,
}

/// <summary>Which adapter is trained, in the terms of PEFT. Everything that defines tensors and arithmetic is here; how fast they learn is not.</summary>
/// <param name="Kind">LoRA, or all weights.</param>
/// <param name="Rank">r, where no <see cref="RankPattern"/> matches.</param>
/// <param name="Alpha">Numerator of the scale alpha / r, where no <see cref="AlphaPattern"/> matches.</param>
/// <param name="TargetModules">Names or dotted suffixes of modules; the single entry <c>all-linear</c> means all linear ones but the output head. Ignored where <see cref="TargetPattern"/> is set.</param>
public sealed record AdapterSettings(AdapterKind Kind, int Rank, double Alpha, ImmutableArray<string> TargetModules)
{
    /// <summary>Regular expression that the whole name of a targeted module matches; null selects by <see cref="TargetModules"/>.</summary>
    public string? TargetPattern { get; init; }

    /// <summary>Names or dotted suffixes of modules that are left out.</summary>
    public ImmutableArray<string> ExcludeModules { get; init; } = [];

    /// <summary>Regular expression that the whole name of a module that is left out matches; null excludes by <see cref="ExcludeModules"/>.</summary>
    public string? ExcludePattern { get; init; }

    /// <summary>Indices of the layers that are adapted; empty for all.</summary>
    public ImmutableArray<int> LayersToTransform { get; init; } = [];

    /// <summary>Names of the lists that <see cref="LayersToTransform"/> counts in, such as <c>layers</c>; empty for any.</summary>
    public ImmutableArray<string> LayersPattern { get; init; } = [];

    /// <summary>Ranks of modules whose name ends in a match of the key; the first match counts.</summary>
    public ImmutableArray<KeyValuePair<string, int>> RankPattern { get; init; } = [];

    /// <summary>Alphas of modules whose name ends in a match of the key; the first match counts.</summary>
    public ImmutableArray<KeyValuePair<string, double>> AlphaPattern { get; init; } = [];

    /// <summary>Whether the scale is alpha / √r (rsLoRA, Kalajdzievski 2023, arXiv:2312.03732).</summary>
    public bool RankStabilized { get; init; }

    /// <summary>Whether the length of each adapted row, or of each dimension of an embedding, is trained apart from its direction (DoRA, Liu et al. 2024, arXiv:2402.09353).</summary>
    public bool Dora { get; init; }

    /// <summary>Whether B has a bias (PEFT's <c>lora_bias</c>).</summary>
    public bool BiasOfB { get; init; }

    /// <summary>Which biases of the base are trained.</summary>
    public BiasTraining Bias { get; init; }

    /// <summary>Endings of names of modules that are trained whole, as copies.</summary>
    public ImmutableArray<string> ModulesToSave { get; init; } = [];

    /// <summary>Whether a copy of a tied embedding or head serves as both.</summary>
    public bool EnsureWeightTying { get; init; }

    /// <summary>Share of A's inputs that are dropped in training.</summary>
    public double Dropout { get; init; }

    /// <summary>What the factors start from.</summary>
    public LoraStart Start { get; init; }

    /// <summary>How often <see cref="LoraStart.Loftq"/> quantises and decomposes in turn; at least 1.</summary>
    public int LoftqIterations { get; init; } = 1;

    /// <summary>Factor on B A x, where no pattern matches.</summary>
    public double Scale => ScaleFor(Rank, Alpha);

    /// <summary>The rank of a module.</summary>
    public int RankOf(string module) => ModuleNames.FirstMatch(RankPattern, module) ?? Rank;

    /// <summary>The factor on B A x of a module.</summary>
    public double ScaleOf(string module) => ScaleFor(RankOf(module), ModuleNames.FirstMatch(AlphaPattern, module) ?? Alpha);

    private double ScaleFor(int rank, double alpha) => RankStabilized ? alpha / Math.Sqrt(rank) : alpha / rank;
}
