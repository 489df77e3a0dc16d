using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace DistTune.Hosting.Tests;

/// <summary>A span as it was exported.</summary>
internal sealed record OtlpSpan(
    string Service, string Source, string TraceId, string SpanId, string ParentId, string Name, ulong Start, ulong End, IReadOnlyDictionary<string, string> Attributes)
{
    public double Seconds => (End - Start) / 1e9;
}

/// <summary>
/// Reads the fields that the tests need of an ExportTraceServiceRequest
/// (opentelemetry-proto, <c>opentelemetry/proto/trace/v1/trace.proto</c>).
/// </summary>
internal static class OtlpSpans
{
    public static IEnumerable<OtlpSpan> Read(byte[] request)
    {
        var spans = new List<OtlpSpan>();
        foreach (var resourceSpans in Fields(request).Where(field => field.Number == 1))
        {
            var parts = Fields(resourceSpans.Bytes);
            var resource = Attributes(parts.Where(field => field.Number == 1).SelectMany(field => Fields(field.Bytes)), 1);
            foreach (var scopeSpans in parts.Where(field => field.Number == 2).Select(field => Fields(field.Bytes)))
            {
                var source = scopeSpans.Where(field => field.Number == 1).SelectMany(field => Fields(field.Bytes)).First(field => field.Number == 1).Text;
                spans.AddRange(scopeSpans.Where(field => field.Number == 2).Select(field => Span(resource["service.name"], source, Fields(field.Bytes))));
            }
        }

        return spans;
    }

    private static OtlpSpan Span(string service, string source, IReadOnlyList<Field> fields)
    {
        Field? Find(int number) => fields.FirstOrDefault(field => field.Number == number);
        string Id(int number) => Convert.ToHexStringLower(Find(number)?.Bytes ?? []);
        return new OtlpSpan(service, source, Id(1), Id(2), Id(4), Find(5)?.Text ?? "", Find(7)?.Number64 ?? 0, Find(8)?.Number64 ?? 0, Attributes(fields, 9));
    }

    private static Dictionary<string, string> Attributes(IEnumerable<Field> fields, int number) => fields.Where(field => field.Number == number)
        .Select(field => Fields(field.Bytes))
        .ToDictionary(pair => pair.Single(field => field.Number == 1).Text, pair => Value(Fields(pair.Single(field => field.Number == 2).Bytes)), StringComparer.Ordinal);

    private static string Value(IReadOnlyList<Field> any) => any switch
    {
        [{ Number: 1 } text] => text.Text,
        [var number] => number.Number64.ToString(CultureInfo.InvariantCulture),
        _ => "",
    };

    // The protobuf wire format: a key (field number and wire type), then a varint, eight bytes, a length and its bytes, or four bytes.
    private static List<Field> Fields(byte[] message)
    {
        var fields = new List<Field>();
        var at = 0;
        while (at < message.Length)
        {
            var key = Varint(message, ref at);
            var number = (int)(key >> 3);
            switch (key & 7)
            {
                case 0:
                    fields.Add(new Field(number, [], Varint(message, ref at)));
                    break;
                case 1:
                    fields.Add(new Field(number, [], BinaryPrimitives.ReadUInt64LittleEndian(message.AsSpan(at, 8))));
                    at += 8;
                    break;
                case 2:
                    var length = checked((int)Varint(message, ref at));
                    fields.Add(new Field(number, message[at..(at + length)], 0));
                    at += length;
                    break;
                case 5:
                    fields.Add(new Field(number, [], BinaryPrimitives.ReadUInt32LittleEndian(message.AsSpan(at, 4))));
                    at += 4;
                    break;
                default:
                    throw new InvalidDataException($"Wire type {key & 7} at byte {at} is not of protobuf 3.");
            }
        }

        return fields;
    }

    private static ulong Varint(byte[] message, ref int at)
    {
        ulong value = 0;
        for (var shift = 0; shift < 64; shift += 7)
        {
            var part = message[at++];
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
            {
                return value;
            }
        }

        throw new InvalidDataException($"The varint that ends at byte {at} is longer than 64 bits.");
    }

    private sealed record Field(int Number, byte[] Bytes, ulong Number64)
    {
        public string Text => Encoding.UTF8.GetString(Bytes);
    }
}
