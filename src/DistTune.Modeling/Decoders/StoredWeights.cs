using System.Collections.Immutable;
using System.Runtime.InteropServices;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Quantization;
using DistTune.Modeling.Quantization;

namespace DistTune.Modeling.Decoders;

/// <summary>Frozen weights, read from files.</summary>
/// <param name="source">The files.</param>
/// <param name="keepsFourBit">Whether weights that come in four bits stay so; otherwise they are restored.</param>
internal sealed class StoredWeights(IWeightSource source, bool keepsFourBit) : IWeightValues
{
    /// <summary>Compares what a file holds with what the base needs.</summary>
    /// <exception cref="DistTuneException">A weight is missing, has another shape, or has no place in the base.</exception>
    public static void Check(IWeightSource source, DecoderSpec spec)
    {
        foreach (var weight in spec.Weights)
        {
            var found = source.Find(weight.Name)
                ?? throw Fault($"The base needs the weight '{weight.Name}' {Text(weight.Shape)}, which its files lack");
            if (!found.Shape.SequenceEqual(weight.Shape))
            {
                throw Fault($"The weight '{weight.Name}' has shape {Text(found.Shape)}; config.json says {Text(weight.Shape)}");
            }
        }

        var known = spec.Weights.Select(weight => weight.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var weight in source.Weights)
        {
            if (!known.Contains(weight.Name) && !spec.IsRedundant(weight.Name))
            {
                throw Fault($"The files hold the weight '{weight.Name}' {Text(weight.Shape)}, which the base has no place for");
            }
        }
    }

    /// <inheritdoc/>
    public int? EntryOf(string name) => null;

    /// <inheritdoc/>
    public FourBitMatrix? ReadFourBit(string name) =>
        keepsFourBit && source is IFourBitWeights weights && weights.FindFourBit(name) is not null ? FourBitMatrix.Read(weights, name) : null;

    /// <inheritdoc/>
    public void Fill(string name, Tensor destination)
    {
        var info = source.Find(name)!;
        if (TypeOf(info.Type) == destination.dtype)
        {
            source.ReadRaw(name, destination.bytes);
            return;
        }

        using var single = torch.empty([.. info.Shape], dtype: ScalarType.Float32, device: torch.CPU);
        source.ReadFloat32(name, MemoryMarshal.Cast<byte, float>(single.bytes));
        destination.copy_(single);
    }

    private static ScalarType? TypeOf(WeightType type) => type switch
    {
        WeightType.Float32 => ScalarType.Float32,
        WeightType.BFloat16 => ScalarType.BFloat16,
        _ => null,
    };

    private static string Text(ImmutableArray<long> shape) => $"[{string.Join(", ", shape)}]";

    private static DistTuneException Fault(string problem) =>
        new(FaultKind.InvalidFile, $"{problem}. Check that config.json and the weights are of the same model.");
}
