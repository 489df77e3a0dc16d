using System.Collections.Frozen;
using System.Collections.Immutable;

namespace DistTune.Core.Formats;

/// <summary>A memory-mapped GGUF file, version 2 or 3, little-endian. Reading is safe from any number of threads.</summary>
public sealed class GgufFile : IDisposable
{
    private const uint Magic = 0x46554747;
    private const int MaxDimensions = 4;
    private const int MaxTensorName = 1024;
    private const long DefaultAlignment = 32;
    private const long MaxAlignment = 1 << 20;

    private readonly MappedFile _file;
    private readonly FrozenDictionary<string, GgufTensor> _byName;

    private GgufFile(MappedFile file)
    {
        _file = file;
        var reader = new GgufReader(file);
        Version = ReadVersion(reader);
        var tensorCountAt = reader.Position;
        var tensorCount = reader.Count(minimumBytes: 24, "tensors");
        var pairCount = reader.Count(minimumBytes: 13, "metadata entries");
        Metadata = ReadMetadata(reader, pairCount);
        Tensors = ReadTensors(reader, tensorCount, tensorCountAt);
        _byName = Tensors.ToFrozenDictionary(tensor => tensor.Name, StringComparer.Ordinal);
    }

    /// <summary>The file's path as it was given.</summary>
    public string Path => _file.Path;

    /// <summary>2 or 3.</summary>
    public int Version { get; }

    /// <summary>The key-value metadata, the tokenizer's among it.</summary>
    public GgufMetadata Metadata { get; }

    /// <summary>The tensors in the file's order; empty in a file that holds a vocabulary alone.</summary>
    public ImmutableArray<GgufTensor> Tensors { get; }

    /// <summary>Maps the file and checks its header.</summary>
    /// <exception cref="DistTuneException">The file cannot be opened or is not valid.</exception>
    public static GgufFile Open(string path)
    {
        var file = MappedFile.Open(path, minimumLength: 24);
        try
        {
            return new GgufFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Finds a tensor by GGUF's name, or null.</summary>
    public GgufTensor? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Reads a tensor dequantised to fp32, rows in GGUF's order.</summary>
    /// <exception cref="DistTuneException">The tensor's type cannot be read; the message names it.</exception>
    public void ReadFloat32(GgufTensor tensor, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        var columns = checked((int)tensor.Shape[^1]);
        for (var row = 0L; row < tensor.Length / columns; row++)
        {
            ReadRow(tensor, row, destination.Slice(checked((int)(row * columns)), columns));
        }
    }

    /// <summary>Reads one row dequantised to fp32.</summary>
    internal void ReadRow(GgufTensor tensor, long row, Span<float> destination) =>
        GgufBlocks.Dequantize(tensor.Type, RowBytes(tensor, row), destination);

    /// <summary>The bytes of one row (of the last dimension).</summary>
    internal ReadOnlySpan<byte> RowBytes(GgufTensor tensor, long row)
    {
        var type = tensor.Type;
        if (type.WeightType == WeightType.Other)
        {
            throw FileFault.At(
                Path,
                tensor.Offset,
                $"tensor '{tensor.Name}' is stored as {type.Name}; {GgufType.Readable} can be read",
                "Use a file of one of these types.");
        }

        var bytes = checked((int)(tensor.Shape[^1] / type.BlockElements * type.BlockBytes));
        return _file.Slice(tensor.Offset + (row * bytes), bytes);
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static int ReadVersion(GgufReader reader)
    {
        if (reader.UInt32() != Magic)
        {
            throw reader.Fault(0, "it does not start with 'GGUF'");
        }

        var version = reader.UInt32();
        return version switch
        {
            2 or 3 => (int)version,
            _ when (version & 0xFFFF) == 0 => throw reader.Fault(4, "it is big-endian; little-endian files are read"),
            _ => throw reader.Fault(4, $"its version is {version}; 2 and 3 are read"),
        };
    }

    private GgufMetadata ReadMetadata(GgufReader reader, int count)
    {
        var values = new List<KeyValuePair<string, object>>();
        var keys = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < count; i++)
        {
            var start = reader.Position;
            var key = reader.String();
            if (!keys.Add(key))
            {
                throw reader.Fault(start, $"the metadata key '{key}' stands there twice");
            }

            values.Add(new(key, reader.Value()));
        }

        return new GgufMetadata(Path, values);
    }

    private ImmutableArray<GgufTensor> ReadTensors(GgufReader reader, int count, long countAt)
    {
        var tensors = ImmutableArray.CreateBuilder<GgufTensor>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < count; i++)
        {
            var start = reader.Position;
            var tensor = ReadTensor(reader);
            if (!names.Add(tensor.Name))
            {
                throw reader.Fault(start, $"the tensor '{tensor.Name}' stands there twice");
            }

            tensors.Add(tensor);
        }

        var alignment = Metadata.FindInteger("general.alignment") ?? DefaultAlignment;
        if (alignment is < 1 or > MaxAlignment || (alignment & (alignment - 1)) != 0)
        {
            throw reader.Fault(countAt, $"general.alignment is {alignment}; it must be a power of two up to {MaxAlignment}");
        }

        var dataStart = (reader.Position + alignment - 1) / alignment * alignment;
        return Place(reader, tensors, dataStart, alignment);
    }

    private static GgufTensor ReadTensor(GgufReader reader)
    {
        var start = reader.Position;
        var name = reader.String();
        var rank = reader.UInt32();
        if (name.Length > MaxTensorName || rank is < 1 or > MaxDimensions)
        {
            throw reader.Fault(
                start,
                $"a tensor has a name of {name.Length} characters and {rank} dimensions; up to {MaxTensorName} and 1 to {MaxDimensions} are read");
        }

        var shape = new long[rank];
        var elements = (Int128)1;
        for (var i = (int)rank - 1; i >= 0; i--)
        {
            var dimension = reader.UInt64();
            elements *= dimension;
            if (dimension == 0 || elements > long.MaxValue)
            {
                throw reader.Fault(start, $"the tensor '{name}' has a dimension of {dimension}, or more elements than can be counted");
            }

            shape[i] = (long)dimension;
        }

        var type = GgufType.Of(reader.UInt32());
        var offset = reader.UInt64();
        return offset <= long.MaxValue
            ? new GgufTensor(name, type, [.. shape], (long)offset)
            : throw reader.Fault(start, $"the tensor '{name}' starts at {offset}, beyond any file");
    }

    private ImmutableArray<GgufTensor> Place(GgufReader reader, ImmutableArray<GgufTensor>.Builder tensors, long dataStart, long alignment)
    {
        var available = _file.Length - dataStart;
        var end = 0L;
        string? previous = null;
        foreach (var tensor in tensors.OrderBy(tensor => tensor.Offset))
        {
            if (tensor.Offset % alignment != 0)
            {
                throw reader.Fault(dataStart, $"the tensor '{tensor.Name}' starts at {tensor.Offset}, which is not a multiple of {alignment}");
            }

            if (tensor.Offset < end)
            {
                throw reader.Fault(dataStart + tensor.Offset, $"the tensor '{tensor.Name}' overlaps '{previous}'");
            }

            var bytes = ByteLength(reader, tensor);
            if (tensor.Offset > available || bytes > available - tensor.Offset)
            {
                throw reader.Fault(
                    dataStart,
                    $"the tensor '{tensor.Name}' claims {bytes} bytes from {tensor.Offset} of the {available} that follow the header");
            }

            end = tensor.Offset + bytes;
            previous = tensor.Name;
        }

        return [.. tensors.Select(tensor => tensor with { Offset = dataStart + tensor.Offset })];
    }

    private static long ByteLength(GgufReader reader, GgufTensor tensor)
    {
        var type = tensor.Type;
        if (type.BlockElements == 0)
        {
            return 0;
        }

        if (tensor.Shape[^1] % type.BlockElements != 0)
        {
            throw reader.Fault(
                reader.Position,
                $"the tensor '{tensor.Name}' has rows of {tensor.Shape[^1]}, which is not a multiple of {type.Name}'s {type.BlockElements}");
        }

        var bytes = (Int128)(tensor.Length / type.BlockElements) * type.BlockBytes;
        return bytes <= long.MaxValue ? (long)bytes : throw reader.Fault(
            reader.Position,
            $"the tensor '{tensor.Name}' has more bytes than can be counted");
    }
}
