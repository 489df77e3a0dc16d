using System.Collections.Frozen;
using DistTune.Core.Training;

namespace DistTune.Core.Formats;

/// <summary>The tensors of a flat vector, and how they are written as a safetensors file.</summary>
internal static class FlatTensors
{
    /// <summary>Checks that a vector has the layout's length and that every value is finite.</summary>
    public static void Check(ParameterLayout layout, ReadOnlySpan<float> values)
    {
        if (values.Length != layout.Length)
        {
            throw new ArgumentException($"The layout has {layout.Length} values; the vector has {values.Length}.", nameof(values));
        }

        foreach (var entry in layout.Entries)
        {
            foreach (var value in Slice(values, entry))
            {
                if (!float.IsFinite(value))
                {
                    throw new DistTuneException(
                        FaultKind.Failed,
                        $"The tensor '{entry.Name}' holds a value that is not finite; nothing was saved. Training diverged: lower the learning rate.");
                }
            }
        }
    }

    /// <summary>A tensor's values.</summary>
    public static ReadOnlySpan<float> Slice(ReadOnlySpan<float> values, ParameterEntry entry) => values.Slice(checked((int)entry.Offset), checked((int)entry.Length));

    /// <summary>Writes every tensor of the layout under its name, as the given floating-point type.</summary>
    public static void Write(string path, ParameterLayout layout, ReadOnlyMemory<float> values, WeightType type)
    {
        var offsets = layout.Entries.ToFrozenDictionary(entry => entry.Name, entry => checked((int)entry.Offset), StringComparer.Ordinal);
        SafetensorsWriter.Write(
            path,
            layout.Entries.Select(entry => new WeightInfo(entry.Name, type, entry.Shape)),
            (weight, stream) => SafetensorsWriter.WriteValues(stream, values.Span.Slice(offsets[weight.Name], checked((int)weight.Length)), type));
    }
}
