using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace DistTune.Core.Formats;

/// <summary>
/// Writes safetensors files: the same tensors give the same bytes. Data streams through; nothing but the header is held in memory.
/// </summary>
public static class SafetensorsWriter
{
    private const int HeaderAlignment = 8;

    /// <summary>Writes a file atomically. Tensors lie sorted by name, wider types first so that every one is aligned.</summary>
    /// <param name="path">The final path.</param>
    /// <param name="weights">Names, types and shapes, in any order.</param>
    /// <param name="write">Writes one tensor's little-endian bytes to the stream, exactly as many as its type and shape take.</param>
    /// <exception cref="ArgumentException">A name is repeated, or a type cannot be stored.</exception>
    public static void Write(string path, IEnumerable<WeightInfo> weights, Action<WeightInfo, Stream> write)
    {
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentNullException.ThrowIfNull(write);
        var ordered = weights
            .OrderByDescending(weight => WeightConversion.SizeOf(weight.Type))
            .ThenBy(weight => weight.Name, StringComparer.Ordinal)
            .ToArray();
        var header = Header(ordered);
        AtomicFile.Write(path, stream =>
        {
            stream.Write(header);
            var position = (long)header.Length;
            foreach (var weight in ordered)
            {
                write(weight, stream);
                position += ByteLength(weight);
                if (stream.Position != position)
                {
                    throw new InvalidOperationException(
                        $"'{weight.Name}' ended at byte {stream.Position} of {path}; its type and shape end at {position}.");
                }
            }
        });
    }

    /// <summary>Writes fp32 values as the floating-point type of a tensor, rounding to nearest even where it is narrower.</summary>
    public static void WriteValues(Stream stream, ReadOnlySpan<float> values, WeightType type) => WeightConversion.Write(stream, values, type);

    private static long ByteLength(WeightInfo weight) => checked(weight.Length * WeightConversion.SizeOf(weight.Type));

    private static byte[] Header(WeightInfo[] weights)
    {
        using var buffer = new MemoryStream();
        buffer.Write(stackalloc byte[sizeof(ulong)]);
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            json.WriteString("format", "pt");
            json.WriteEndObject();
            var names = new HashSet<string>(StringComparer.Ordinal);
            var offset = 0L;
            foreach (var weight in weights)
            {
                if (!names.Add(weight.Name))
                {
                    throw new ArgumentException($"The tensor '{weight.Name}' is listed twice.", nameof(weights));
                }

                offset = WriteEntry(json, weight, offset);
            }

            json.WriteEndObject();
        }

        while (buffer.Length % HeaderAlignment != 0)
        {
            buffer.WriteByte((byte)' ');
        }

        var bytes = buffer.ToArray();
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)(bytes.Length - sizeof(ulong)));
        return bytes;
    }

    private static long WriteEntry(Utf8JsonWriter json, WeightInfo weight, long offset)
    {
        var end = checked(offset + ByteLength(weight));
        json.WriteStartObject(weight.Name);
        json.WriteString("dtype", Spell(weight.Type));
        json.WriteStartArray("shape");
        foreach (var dimension in weight.Shape)
        {
            json.WriteNumberValue(dimension);
        }

        json.WriteEndArray();
        json.WriteStartArray("data_offsets");
        json.WriteNumberValue(offset);
        json.WriteNumberValue(end);
        json.WriteEndArray();
        json.WriteEndObject();
        return end;
    }

    private static string Spell(WeightType type) => type switch
    {
        WeightType.Float32 => "F32",
        WeightType.Float16 => "F16",
        WeightType.BFloat16 => "BF16",
        WeightType.Int64 => "I64",
        WeightType.Int32 => "I32",
        WeightType.UInt8 => "U8",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "safetensors files are written with F32, F16, BF16, I64, I32 or U8."),
    };
}
