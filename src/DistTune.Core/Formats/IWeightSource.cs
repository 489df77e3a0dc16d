using System.Collections.Immutable;

namespace DistTune.Core.Formats;

/// <summary>Element type of a stored weight, as the reader hands it out.</summary>
public enum WeightType
{
    /// <summary>IEEE single precision.</summary>
    Float32,

    /// <summary>IEEE half precision.</summary>
    Float16,

    /// <summary>bfloat16.</summary>
    BFloat16,

    /// <summary>64-bit integer.</summary>
    Int64,

    /// <summary>32-bit integer.</summary>
    Int32,

    /// <summary>Unsigned byte, or a boolean in a byte.</summary>
    UInt8,

    /// <summary>Signed byte.</summary>
    Int8,

    /// <summary>A block-quantised type; it can only be read as fp32.</summary>
    Quantized,

    /// <summary>Any other type; it is listed, and reading it is an error that names it.</summary>
    Other,
}

/// <summary>Name, type and shape (row-major, Hugging Face order) of a stored weight.</summary>
public sealed record WeightInfo(string Name, WeightType Type, ImmutableArray<long> Shape)
{
    /// <summary>Number of elements.</summary>
    public long Length => Shape.Aggregate(1L, (product, dimension) => checked(product * dimension));
}

/// <summary>
/// Weights by Hugging Face name, whatever file they lie in: a safetensors file, a sharded folder, a GGUF file (with names translated
/// and q/k rows put back in Hugging Face order).
/// </summary>
public interface IWeightSource : IDisposable
{
    /// <summary>What there is, sorted by ordinal name.</summary>
    ImmutableArray<WeightInfo> Weights { get; }

    /// <summary>Finds a weight by its exact name, or null.</summary>
    WeightInfo? Find(string name);

    /// <summary>Reads a weight as fp32 (exact for F16 and BF16; dequantised for block types).</summary>
    /// <exception cref="ArgumentException"><paramref name="destination"/> is not exactly the weight's length.</exception>
    void ReadFloat32(string name, Span<float> destination);

    /// <summary>Reads a weight's own bytes, little-endian; not for <see cref="WeightType.Quantized"/>.</summary>
    void ReadRaw(string name, Span<byte> destination);
}
