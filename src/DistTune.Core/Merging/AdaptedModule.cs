using System.Collections.Immutable;

namespace DistTune.Core.Merging;

/// <summary>A tensor of an adapter.</summary>
/// <param name="Shape">Its shape, row-major.</param>
/// <param name="Values">Its values.</param>
public sealed record AdapterTensor(ImmutableArray<long> Shape, float[] Values);

/// <summary>What an adapter does to one module's weight: W + Scale * B A, with DoRA's rows, or an embedding's columns, scaled to <see cref="Magnitude"/>.</summary>
/// <param name="Name">The base's module, without <c>.weight</c>.</param>
/// <param name="IsEmbedding">Whether the factors belong to an embedding: A [rank, vocabulary], B [width, rank], and (B A)^T is added.</param>
/// <param name="A">[rank, in].</param>
/// <param name="B">[out, rank].</param>
/// <param name="Scale">alpha / rank, or alpha / sqrt(rank) with rsLoRA.</param>
public sealed record AdaptedModule(string Name, bool IsEmbedding, AdapterTensor A, AdapterTensor B, double Scale)
{
    /// <summary>DoRA's length of each row of the weight, of each column of an embedding (Liu et al. 2024, arXiv:2402.09353), or null.</summary>
    public float[]? Magnitude { get; init; }

    /// <summary>The bias of B, added to the module's own with the scale, or null.</summary>
    public float[]? BiasOfB { get; init; }

    /// <summary>Rank.</summary>
    public int Rank => checked((int)A.Shape[0]);

    /// <summary>Name of the weight that changes.</summary>
    public string WeightName => $"{Name}.weight";

    /// <summary>The weight's shape.</summary>
    public ImmutableArray<long> WeightShape => IsEmbedding ? [A.Shape[1], B.Shape[0]] : [B.Shape[0], A.Shape[1]];
}
