using System.Collections.Immutable;

namespace DistTune.Core.Training;

/// <summary>What a trained tensor is to the module it belongs to.</summary>
public enum TensorRole
{
    /// <summary>The module's own weight: when all weights are trained, or as a copy (<see cref="AdapterSettings.ModulesToSave"/>).</summary>
    Weight,

    /// <summary>The module's own bias.</summary>
    Bias,

    /// <summary>The factor that reads the input, [r, in].</summary>
    LoraA,

    /// <summary>The factor that writes the output, [out, r].</summary>
    LoraB,

    /// <summary>The bias of B, [out].</summary>
    LoraBias,

    /// <summary>The factor that reads tokens, [r, V].</summary>
    EmbeddingA,

    /// <summary>The factor that writes an embedding, [D, r].</summary>
    EmbeddingB,

    /// <summary>Lengths of the rows, [out], or of an embedding's columns, [D] (DoRA).</summary>
    Magnitude,
}

/// <summary>One trainable tensor within the flat fp32 vector of an adapter.</summary>
/// <param name="Name">
/// The tensor's key as PEFT spells it in <c>adapter_model.safetensors</c>
/// (<c>base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight</c>), or the base's own name when all weights are trained.
/// </param>
/// <param name="Shape">The tensor's shape, row-major.</param>
/// <param name="Offset">First element within the flat vector; a multiple of <see cref="ParameterLayout.Alignment"/>.</param>
/// <param name="Layer">Index of the decoder layer that owns it, or -1 before the first layer, or the layer count after the last.</param>
/// <param name="WeightDecay">Whether the optimizer's weight decay applies.</param>
/// <param name="LearningRateScale">Factor on the step's learning rate (LoRA+ and the like); 1 by default.</param>
public sealed record ParameterEntry(
    string Name,
    ImmutableArray<long> Shape,
    long Offset,
    int Layer,
    bool WeightDecay = true,
    double LearningRateScale = 1.0)
{
    /// <summary>The module of the base it belongs to.</summary>
    public string Module { get; init; } = "";

    /// <summary>What it is to that module.</summary>
    public TensorRole Role { get; init; }

    /// <summary>Further names under which files hold the same values: a tied head that is trained with its embedding.</summary>
    public ImmutableArray<string> Aliases { get; init; } = [];

    /// <summary>Number of elements.</summary>
    public long Length => Shape.Aggregate(1L, (product, dimension) => checked(product * dimension));
}

/// <summary>
/// The canonical order of all trainable tensors: module order of the base, A before B, then biases, magnitude, whole copies. One flat fp32 vector in this layout
/// holds an adapter, a gradient or a moment. Gaps between tensors are zero.
/// </summary>
public sealed class ParameterLayout
{
    /// <summary>Every tensor starts at a multiple of this many floats (256 bytes).</summary>
    public const int Alignment = 64;

    private ParameterLayout(ImmutableArray<ParameterEntry> entries, long length)
    {
        Entries = entries;
        Length = length;
    }

    /// <summary>The tensors in canonical order, offsets ascending.</summary>
    public ImmutableArray<ParameterEntry> Entries { get; }

    /// <summary>Length of the flat vector in floats, gaps included.</summary>
    public long Length { get; }

    /// <summary>Number of trained parameters, gaps excluded.</summary>
    public long ParameterCount => Entries.Sum(entry => entry.Length);

    /// <summary>Assigns aligned offsets to the tensors in the given order; the entries' own offsets are ignored.</summary>
    /// <exception cref="ArgumentException">Two tensors share a name, or a shape has a dimension below one.</exception>
    public static ParameterLayout Create(IEnumerable<ParameterEntry> tensors)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        var entries = ImmutableArray.CreateBuilder<ParameterEntry>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        long offset = 0;
        foreach (var tensor in tensors)
        {
            if (!names.Add(tensor.Name))
            {
                throw new ArgumentException($"The tensor '{tensor.Name}' is listed twice; each trained tensor has one place.", nameof(tensors));
            }

            if (tensor.Shape.Any(dimension => dimension < 1))
            {
                throw new ArgumentException($"The tensor '{tensor.Name}' has shape [{string.Join(", ", tensor.Shape)}]; every dimension must be at least 1.", nameof(tensors));
            }

            entries.Add(tensor with { Offset = offset });
            offset = checked((offset + tensor.Length + Alignment - 1) / Alignment * Alignment);
        }

        return new ParameterLayout(entries.ToImmutable(), offset);
    }
}
