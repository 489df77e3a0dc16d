using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Core.Formats;

/// <summary>The tensors of <c>adapter_model.safetensors</c>: the trained ones, their second names, and the frozen matrices that PEFT keeps beside them.</summary>
internal static class PeftTensors
{
    /// <summary>
    /// The frozen matrices that PEFT saves too: those of an adapted embedding or head, because a vocabulary may have been extended.
    /// </summary>
    public static IEnumerable<(string Key, string Module)> Frozen(ParameterLayout layout) => layout.Entries
        .Where(entry => entry.Role == TensorRole.EmbeddingA || (entry.Role == TensorRole.LoraA && entry.Module == BaseModules.Head))
        .Select(entry => ($"{AdapterLayout.Prefix}{entry.Module}{AdapterLayout.BaseLayer}{BaseModules.Weight}", entry.Module));

    /// <summary>Writes the file.</summary>
    public static void Write(string path, ParameterLayout layout, ReadOnlyMemory<float> values, IWeightSource? weights)
    {
        var tensors = ImmutableArray.CreateBuilder<WeightInfo>();
        var writers = new Dictionary<string, Action<Stream>>(StringComparer.Ordinal);
        foreach (var entry in layout.Entries)
        {
            foreach (var name in entry.Aliases.Insert(0, entry.Name))
            {
                tensors.Add(new WeightInfo(name, WeightType.Float32, entry.Shape));
                writers.Add(name, stream => SafetensorsWriter.WriteValues(stream, FlatTensors.Slice(values.Span, entry), WeightType.Float32));
            }
        }

        foreach (var (key, module) in weights is null ? [] : Frozen(layout))
        {
            var info = weights!.Find(BaseCopies.NameOf(weights, module))
                ?? throw new DistTuneException(FaultKind.InvalidFile, $"The base has no weight of '{module}', which the adapter is on. Use the base that was trained on.");
            var type = info.Type is WeightType.Float16 or WeightType.BFloat16 ? info.Type : WeightType.Float32;
            tensors.Add(new WeightInfo(key, type, info.Shape));
            writers.Add(key, stream => CopyWeight(weights, info, type, stream));
        }

        SafetensorsWriter.Write(path, tensors, (tensor, stream) => writers[tensor.Name](stream));
    }

    private static void CopyWeight(IWeightSource weights, WeightInfo info, WeightType type, Stream stream)
    {
        var values = new float[info.Length];
        weights.ReadFloat32(info.Name, values);
        SafetensorsWriter.WriteValues(stream, values, type);
    }
}
