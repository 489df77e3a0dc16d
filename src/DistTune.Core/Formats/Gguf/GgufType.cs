using System.Collections.Frozen;
using System.Globalization;

namespace DistTune.Core.Formats;

/// <summary>A storage type of GGUF tensors.</summary>
/// <param name="Id">The number in the file.</param>
/// <param name="Name">ggml's name, such as <c>Q4_1</c>.</param>
/// <param name="BlockElements">Elements of a block; 0 if the type is not known.</param>
/// <param name="BlockBytes">Bytes of a block.</param>
/// <param name="WeightType">How the reader hands it out.</param>
internal sealed record GgufType(uint Id, string Name, int BlockElements, int BlockBytes, WeightType WeightType)
{
    /// <summary>The types that can be read, for messages.</summary>
    public const string Readable = "F32, F16, BF16, Q8_0, Q4_0 and Q4_1";

    // The sizes of types that cannot be read yet are known so that their tensors' bounds are checked all the same.
    private static readonly FrozenDictionary<uint, GgufType> Known = new GgufType[]
    {
        new(0, "F32", 1, 4, WeightType.Float32),
        new(1, "F16", 1, 2, WeightType.Float16),
        new(2, "Q4_0", 32, 18, WeightType.Quantized),
        new(3, "Q4_1", 32, 20, WeightType.Quantized),
        new(6, "Q5_0", 32, 22, WeightType.Other),
        new(7, "Q5_1", 32, 24, WeightType.Other),
        new(8, "Q8_0", 32, 34, WeightType.Quantized),
        new(10, "Q2_K", 256, 84, WeightType.Other),
        new(11, "Q3_K", 256, 110, WeightType.Other),
        new(12, "Q4_K", 256, 144, WeightType.Other),
        new(13, "Q5_K", 256, 176, WeightType.Other),
        new(14, "Q6_K", 256, 210, WeightType.Other),
        new(20, "IQ4_NL", 32, 18, WeightType.Other),
        new(23, "IQ4_XS", 256, 136, WeightType.Other),
        new(26, "I32", 1, 4, WeightType.Int32),
        new(27, "I64", 1, 8, WeightType.Int64),
        new(30, "BF16", 1, 2, WeightType.BFloat16),
    }.ToFrozenDictionary(type => type.Id);

    /// <summary>The type of a number; one that is not known has no size and cannot be read.</summary>
    public static GgufType Of(uint id) => Known.TryGetValue(id, out var type)
        ? type
        : new GgufType(id, string.Create(CultureInfo.InvariantCulture, $"type {id}"), 0, 0, WeightType.Other);
}
