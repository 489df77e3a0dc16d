using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text.Json;

namespace DistTune.Core.Formats;

/// <summary>A tensor of a safetensors file: its description, its type as spelled there, and its bytes within the file.</summary>
internal sealed record SafetensorsEntry(WeightInfo Info, string Dtype, long Offset, long ByteLength);

/// <summary>
/// Reads and checks the header of a safetensors file (8 bytes of length, JSON, data). Nothing is allocated for a length that the file
/// does not have; the tensors must cover the data exactly, without overlap or hole.
/// </summary>
internal static class SafetensorsHeader
{
    /// <summary>Longest header accepted; the reference implementation has the same bound.</summary>
    public const long MaxHeaderBytes = 100_000_000;

    private const string FetchAgain = "The file is damaged or not safetensors; fetch or export it again.";
    private const int MaxDepth = 8;
    private const int MaxRank = 16;

    /// <summary>Reads the tensors of a file.</summary>
    /// <exception cref="DistTuneException">The header is not valid; the message names file, offset and cure.</exception>
    public static ImmutableArray<SafetensorsEntry> Read(MappedFile file)
    {
        var headerLength = BinaryPrimitives.ReadUInt64LittleEndian(file.Slice(0, 8));
        if (headerLength > MaxHeaderBytes || headerLength > (ulong)file.Length - 8)
        {
            throw FileFault.At(
                file.Path,
                0,
                $"the header claims {headerLength} bytes; the file has {file.Length}, and the limit is {MaxHeaderBytes}",
                FetchAgain);
        }

        var dataStart = 8 + (long)headerLength;
        var options = new JsonDocumentOptions { MaxDepth = MaxDepth, AllowDuplicateProperties = false };
        try
        {
            using var document = JsonDocument.Parse(file.Slice(8, (int)headerLength).ToArray(), options);
            var entries = ReadEntries(file, document.RootElement, dataStart);
            CheckCoverage(file, entries, dataStart);
            return entries.OrderBy(entry => entry.Info.Name, StringComparer.Ordinal).ToImmutableArray();
        }
        catch (JsonException error)
        {
            throw FileFault.At(
                file.Path,
                8 + (error.BytePositionInLine ?? 0),
                $"the header is not the JSON of a safetensors file ({error.Message})",
                FetchAgain,
                error);
        }
        catch (InvalidOperationException error)
        {
            // A string in the header that is not valid UTF-16 once unescaped.
            throw FileFault.At(file.Path, 8, $"the header holds a string that is not text ({error.Message})", FetchAgain, error);
        }
    }

    private static List<SafetensorsEntry> ReadEntries(MappedFile file, JsonElement root, long dataStart)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw FileFault.At(file.Path, 8, $"the header is a JSON {root.ValueKind}, not an object", FetchAgain);
        }

        var entries = new List<SafetensorsEntry>();
        foreach (var property in root.EnumerateObject())
        {
            if (property.NameEquals("__metadata__"))
            {
                continue;
            }

            entries.Add(ReadEntry(file, property.Name, property.Value, dataStart));
        }

        return entries;
    }

    private static SafetensorsEntry ReadEntry(MappedFile file, string name, JsonElement value, long dataStart)
    {
        if (value.ValueKind != JsonValueKind.Object
            || !value.TryGetProperty("dtype", out var dtype) || dtype.ValueKind != JsonValueKind.String
            || !value.TryGetProperty("shape", out var shape) || shape.ValueKind != JsonValueKind.Array
            || !value.TryGetProperty("data_offsets", out var offsets) || offsets.ValueKind != JsonValueKind.Array || offsets.GetArrayLength() != 2)
        {
            throw FileFault.At(file.Path, 8, $"tensor '{name}' lacks dtype, shape or two data_offsets", FetchAgain);
        }

        if (!TryNumber(offsets[0], out var begin) || !TryNumber(offsets[1], out var end) || begin > end || end > file.Length - dataStart)
        {
            throw FileFault.At(
                file.Path,
                8,
                $"tensor '{name}' claims bytes {offsets.GetRawText()} of the {file.Length - dataStart} that follow the header",
                FetchAgain);
        }

        var dimensions = ReadShape(file, name, shape);
        var spelled = dtype.GetString()!;
        var (type, size) = Describe(spelled);
        CheckLength(file, name, spelled, size, dimensions, end - begin, dataStart + begin);
        return new SafetensorsEntry(new WeightInfo(name, type, dimensions), spelled, dataStart + begin, end - begin);
    }

    private static ImmutableArray<long> ReadShape(MappedFile file, string name, JsonElement shape)
    {
        var rank = shape.GetArrayLength();
        if (rank > MaxRank)
        {
            throw FileFault.At(file.Path, 8, $"tensor '{name}' has {rank} dimensions; at most {MaxRank} are read", FetchAgain);
        }

        var dimensions = ImmutableArray.CreateBuilder<long>(rank);
        foreach (var item in shape.EnumerateArray())
        {
            if (!TryNumber(item, out var dimension))
            {
                throw FileFault.At(file.Path, 8, $"tensor '{name}' has shape {shape.GetRawText()}; dimensions are whole numbers from 0", FetchAgain);
            }

            dimensions.Add(dimension);
        }

        return dimensions.MoveToImmutable();
    }

    private static void CheckLength(MappedFile file, string name, string dtype, int size, ImmutableArray<long> shape, long actual, long offset)
    {
        var expected = (Int128)size;
        foreach (var dimension in shape)
        {
            // At most 2^63 * 2^63 before the comparison, which Int128 holds.
            expected *= dimension;
            if (expected > long.MaxValue)
            {
                throw FileFault.At(
                    file.Path,
                    offset,
                    $"tensor '{name}' of shape [{string.Join(", ", shape)}] has more elements than can be counted",
                    FetchAgain);
            }
        }

        // Types of unknown or sub-byte size are listed with what the file says; they cannot be read anyway.
        if (size > 0 && expected != actual)
        {
            throw FileFault.At(
                file.Path,
                offset,
                $"tensor '{name}' of type {dtype} and shape [{string.Join(", ", shape)}] takes {expected} bytes, and data_offsets give it {actual}",
                FetchAgain);
        }
    }

    private static void CheckCoverage(MappedFile file, List<SafetensorsEntry> entries, long dataStart)
    {
        var position = dataStart;
        string? previous = null;
        foreach (var entry in entries.OrderBy(entry => entry.Offset).ThenBy(entry => entry.ByteLength))
        {
            if (entry.Offset != position)
            {
                var problem = entry.Offset < position
                    ? $"tensor '{entry.Info.Name}' overlaps '{previous}'"
                    : $"{entry.Offset - position} bytes before tensor '{entry.Info.Name}' belong to no tensor";
                throw FileFault.At(file.Path, entry.Offset, problem, FetchAgain);
            }

            position += entry.ByteLength;
            previous = entry.Info.Name;
        }

        if (position != file.Length)
        {
            throw FileFault.At(file.Path, position, $"the last {file.Length - position} bytes belong to no tensor", FetchAgain);
        }
    }

    private static bool TryNumber(JsonElement element, out long number)
    {
        number = 0;
        return element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out number) && number >= 0;
    }

    private static (WeightType Type, int Size) Describe(string dtype) => dtype switch
    {
        "F32" => (WeightType.Float32, 4),
        "F16" => (WeightType.Float16, 2),
        "BF16" => (WeightType.BFloat16, 2),
        "I64" => (WeightType.Int64, 8),
        "I32" => (WeightType.Int32, 4),
        "F64" or "U64" => (WeightType.Other, 8),
        "U32" => (WeightType.Other, 4),
        "I16" or "U16" => (WeightType.Other, 2),
        "U8" or "BOOL" => (WeightType.UInt8, 1),
        "I8" => (WeightType.Int8, 1),
        "F8_E4M3" or "F8_E5M2" => (WeightType.Other, 1),
        _ => (WeightType.Other, 0),
    };
}
