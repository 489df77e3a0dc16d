using System.Collections.Frozen;
using System.Collections.Immutable;

namespace DistTune.Core.Formats;

/// <summary>One memory-mapped safetensors file. Reading is safe from any number of threads.</summary>
public sealed class SafetensorsFile : IWeightSource
{
    private const int BlockElements = 1 << 20;
    private const int BlockBytes = 4 << 20;
    private readonly MappedFile _file;
    private readonly FrozenDictionary<string, SafetensorsEntry> _entries;

    private SafetensorsFile(MappedFile file, ImmutableArray<SafetensorsEntry> entries)
    {
        _file = file;
        _entries = entries.ToFrozenDictionary(entry => entry.Info.Name, StringComparer.Ordinal);
        Weights = [.. entries.Select(entry => entry.Info)];
    }

    /// <summary>The file's path as it was given.</summary>
    public string Path => _file.Path;

    /// <inheritdoc/>
    public ImmutableArray<WeightInfo> Weights { get; }

    /// <summary>Maps the file and checks its header.</summary>
    /// <exception cref="DistTuneException">The file cannot be opened or its header is not valid.</exception>
    public static SafetensorsFile Open(string path)
    {
        var file = MappedFile.Open(path, minimumLength: 8);
        try
        {
            return new SafetensorsFile(file, SafetensorsHeader.Read(file));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public WeightInfo? Find(string name) => _entries.TryGetValue(name, out var entry) ? entry.Info : null;

    /// <inheritdoc/>
    public void ReadFloat32(string name, Span<float> destination)
    {
        var entry = Entry(name);
        if (entry.Info.Type is not (WeightType.Float32 or WeightType.Float16 or WeightType.BFloat16))
        {
            throw FileFault.At(
                Path,
                entry.Offset,
                $"tensor '{name}' is stored as {entry.Dtype}; F32, F16 and BF16 can be read as numbers",
                "Export the weights in one of these types.");
        }

        CheckLength(name, entry.Info.Length, destination.Length, nameof(destination));
        var size = WeightConversion.SizeOf(entry.Info.Type);
        for (var start = 0; start < destination.Length; start += BlockElements)
        {
            var count = Math.Min(BlockElements, destination.Length - start);
            var bytes = _file.Slice(entry.Offset + ((long)start * size), count * size);
            WeightConversion.Widen(entry.Info.Type, bytes, destination.Slice(start, count));
            _file.Forget(entry.Offset + ((long)start * size), bytes.Length);
        }
    }

    /// <inheritdoc/>
    public void ReadRaw(string name, Span<byte> destination)
    {
        var entry = Entry(name);
        if (entry.Info.Type == WeightType.Other)
        {
            throw FileFault.At(
                Path,
                entry.Offset,
                $"tensor '{name}' is stored as {entry.Dtype}; F32, F16, BF16, I64, I32, U8 and BOOL can be read",
                "Export the weights in one of these types.");
        }

        CheckLength(name, entry.ByteLength, destination.Length, nameof(destination));
        for (var start = 0; start < destination.Length; start += BlockBytes)
        {
            // A weight is read once; what was copied need not stay in memory twice.
            var count = Math.Min(BlockBytes, destination.Length - start);
            _file.Slice(entry.Offset + start, count).CopyTo(destination[start..]);
            _file.Forget(entry.Offset + start, count);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static void CheckLength(string name, long expected, int actual, string parameter)
    {
        if (expected != actual)
        {
            throw new ArgumentException($"'{name}' has length {expected}; the destination has {actual}.", parameter);
        }
    }

    private SafetensorsEntry Entry(string name) => _entries.TryGetValue(name, out var entry)
        ? entry
        : throw FileFault.Of(Path, $"there is no tensor '{name}'", $"It holds {Weights.Length} tensors; check that the file belongs to this model.");
}
