using System.Buffers.Binary;
using System.Text;

namespace DistTune.Core.Formats;

/// <summary>Reads GGUF's primitives in order; every length is checked against what the file still has before anything is allocated.</summary>
internal sealed class GgufReader(MappedFile file)
{
    /// <summary>What to do about a file that is not what it claims to be.</summary>
    public const string FetchAgain = "The file is damaged or not GGUF; fetch or convert it again.";

    private const int MaxArrayDepth = 4;
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private enum ValueType : uint
    {
        UInt8, Int8, UInt16, Int16, UInt32, Int32, Float32, Bool, String, Array, UInt64, Int64, Float64,
    }

    /// <summary>Where the next read starts.</summary>
    public long Position { get; private set; }

    /// <summary>How many bytes are left.</summary>
    public long Remaining => file.Length - Position;

    /// <summary>A 32-bit number.</summary>
    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(sizeof(uint)));

    /// <summary>A 64-bit number.</summary>
    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong)));

    /// <summary>A count of things that take at least <paramref name="minimumBytes"/> each.</summary>
    public int Count(int minimumBytes, string what)
    {
        var start = Position;
        var count = UInt64();
        return count <= (ulong)(Remaining / minimumBytes) && count <= (ulong)Array.MaxLength
            ? (int)count
            : throw Fault(start, $"{count} {what} are claimed, and only {Remaining} bytes follow");
    }

    /// <summary>A string: 64-bit length, UTF-8.</summary>
    public string String()
    {
        var start = Position;
        var length = Count(1, "bytes of a string");
        try
        {
            return StrictUtf8.GetString(Take(length));
        }
        catch (DecoderFallbackException error)
        {
            throw FileFault.At(file.Path, start, "a string is not UTF-8", FetchAgain, error);
        }
    }

    /// <summary>A metadata value: its type, then the value.</summary>
    public object Value() => Value(UInt32(), depth: 0);

    /// <summary>A fault at a byte of the file.</summary>
    public DistTuneException Fault(long offset, string problem) => FileFault.At(file.Path, offset, problem, FetchAgain);

    private object Value(uint type, int depth) => (ValueType)type switch
    {
        ValueType.UInt8 => Take(1)[0],
        ValueType.Int8 => (sbyte)Take(1)[0],
        ValueType.UInt16 => BinaryPrimitives.ReadUInt16LittleEndian(Take(2)),
        ValueType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(Take(2)),
        ValueType.UInt32 => UInt32(),
        ValueType.Int32 => (int)UInt32(),
        ValueType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(Take(4)),
        ValueType.Bool => Flag(),
        ValueType.String => String(),
        ValueType.Array => Items(depth + 1),
        ValueType.UInt64 => UInt64(),
        ValueType.Int64 => (long)UInt64(),
        ValueType.Float64 => BinaryPrimitives.ReadDoubleLittleEndian(Take(8)),
        _ => throw Fault(Position - sizeof(uint), $"a value has the unknown type {type}"),
    };

    private Array Items(int depth)
    {
        var start = Position;
        if (depth > MaxArrayDepth)
        {
            throw Fault(start, $"arrays are nested deeper than {MaxArrayDepth}");
        }

        var type = UInt32();
        return (ValueType)type switch
        {
            ValueType.UInt8 => Items<byte>(type, 1, depth),
            ValueType.Int8 => Items<sbyte>(type, 1, depth),
            ValueType.UInt16 => Items<ushort>(type, 2, depth),
            ValueType.Int16 => Items<short>(type, 2, depth),
            ValueType.UInt32 => Items<uint>(type, 4, depth),
            ValueType.Int32 => Items<int>(type, 4, depth),
            ValueType.Float32 => Items<float>(type, 4, depth),
            ValueType.Bool => Items<bool>(type, 1, depth),
            ValueType.String => Items<string>(type, 8, depth),
            ValueType.Array => Items<object>(type, 12, depth),
            ValueType.UInt64 => Items<ulong>(type, 8, depth),
            ValueType.Int64 => Items<long>(type, 8, depth),
            ValueType.Float64 => Items<double>(type, 8, depth),
            _ => throw Fault(start, $"an array has the unknown type {type}"),
        };
    }

    private T[] Items<T>(uint type, int minimumBytes, int depth)
    {
        var items = new T[Count(minimumBytes, "array items")];
        for (var i = 0; i < items.Length; i++)
        {
            items[i] = (T)Value(type, depth);
        }

        return items;
    }

    private bool Flag() => Take(1)[0] switch
    {
        0 => false,
        1 => true,
        var other => throw Fault(Position - 1, $"a truth value is {other}"),
    };

    private ReadOnlySpan<byte> Take(int length)
    {
        if (length > Remaining)
        {
            throw Fault(Position, $"{length} bytes are expected and {Remaining} are left");
        }

        var bytes = file.Slice(Position, length);
        Position += length;
        return bytes;
    }
}
