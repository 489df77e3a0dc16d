using System.Collections.Immutable;
using System.Runtime.InteropServices;
using DistTune.Core.Formats;

namespace DistTune.Goldens;

/// <summary>The tensors of a golden safetensors file.</summary>
internal sealed class TensorFile : IDisposable
{
    private readonly SafetensorsFile _file;

    private TensorFile(SafetensorsFile file) => _file = file;

    /// <summary>Names of all tensors.</summary>
    public IEnumerable<string> Names => _file.Weights.Select(weight => weight.Name);

    /// <summary>Opens a file.</summary>
    public static TensorFile Open(string path) => new(SafetensorsFile.Open(path));

    /// <summary>Names of the tensors of a file, or none if it is not one that can be read.</summary>
    public static HashSet<string> NamesIn(string path)
    {
        try
        {
            using var file = Open(path);
            return file.Names.ToHashSet(StringComparer.Ordinal);
        }
        catch (Core.DistTuneException)
        {
            return [];
        }
    }

    /// <summary>Whether there is a tensor of that name.</summary>
    public bool Has(string name) => _file.Find(name) is not null;

    /// <summary>Its shape.</summary>
    public ImmutableArray<long> Shape(string name) => Info(name).Shape;

    /// <summary>Its stored type.</summary>
    public WeightType Type(string name) => Info(name).Type;

    /// <summary>Its values as fp32.</summary>
    public float[] Floats(string name)
    {
        var values = new float[Info(name).Length];
        _file.ReadFloat32(name, values);
        return values;
    }

    /// <summary>Its values, of any integer type.</summary>
    public long[] Integers(string name)
    {
        var info = Info(name);
        return info.Type switch
        {
            WeightType.Int64 => Raw<long>(info),
            WeightType.Int32 => Array.ConvertAll(Raw<int>(info), value => (long)value),
            WeightType.Int8 => Array.ConvertAll(Raw<sbyte>(info), value => (long)value),
            WeightType.UInt8 => Array.ConvertAll(Raw<byte>(info), value => (long)value),
            _ => throw new InvalidDataException($"The tensor '{name}' is {info.Type}; integers are expected."),
        };
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private T[] Raw<T>(WeightInfo info)
        where T : unmanaged
    {
        var values = new T[info.Length];
        _file.ReadRaw(info.Name, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    private WeightInfo Info(string name) => _file.Find(name) ?? throw new InvalidDataException($"There is no tensor '{name}' in {_file.Path}.");
}
