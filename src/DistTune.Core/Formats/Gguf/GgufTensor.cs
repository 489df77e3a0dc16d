using System.Collections.Immutable;

namespace DistTune.Core.Formats;

/// <summary>A tensor of a GGUF file, as the file has it.</summary>
public sealed record GgufTensor
{
    internal GgufTensor(string name, GgufType type, ImmutableArray<long> shape, long offset)
    {
        Name = name;
        Type = type;
        Shape = shape;
        Offset = offset;
    }

    /// <summary>GGUF's name, such as <c>blk.0.attn_q.weight</c>.</summary>
    public string Name { get; }

    /// <summary>ggml's type name, such as <c>Q4_1</c>.</summary>
    public string TypeName => Type.Name;

    /// <summary>Whether the type is one that can be read.</summary>
    public bool IsReadable => Type.WeightType != WeightType.Other;

    /// <summary>Row-major: the reverse of ggml's order, so that a matrix is [out, in].</summary>
    public ImmutableArray<long> Shape { get; }

    /// <summary>Number of elements.</summary>
    public long Length => Shape.Aggregate(1L, (product, dimension) => checked(product * dimension));

    /// <summary>The storage type.</summary>
    internal GgufType Type { get; }

    /// <summary>First byte within the file.</summary>
    internal long Offset { get; init; }
}
