using TorchSharp.Interop;
using static TorchSharp.torch;

namespace TorchSharp;

public sealed class Scalar : IDisposable
{
    internal Scalar(long value, ScalarType type)
    {
        Bits = value;
        Kind = type == ScalarType.Bool ? ArgKind.Bool : ArgKind.Int;
        Type = type;
    }

    internal Scalar(double value, ScalarType type)
    {
        Bits = BitConverter.DoubleToInt64Bits(value);
        Kind = ArgKind.Double;
        Type = type;
    }

    public ScalarType Type { get; }

    internal ArgKind Kind { get; }

    internal long Bits { get; }

    internal double AsDouble => Kind == ArgKind.Double ? BitConverter.Int64BitsToDouble(Bits) : Bits;

    internal long AsLong => Kind == ArgKind.Double ? (long)BitConverter.Int64BitsToDouble(Bits) : Bits;

    public static implicit operator Scalar(byte value) => new(value, ScalarType.Byte);
    public static implicit operator Scalar(sbyte value) => new(value, ScalarType.Int8);
    public static implicit operator Scalar(short value) => new(value, ScalarType.Int16);
    public static implicit operator Scalar(int value) => new(value, ScalarType.Int32);
    public static implicit operator Scalar(long value) => new(value, ScalarType.Int64);
    public static implicit operator Scalar(Half value) => new((double)value, ScalarType.Float16);
    public static implicit operator Scalar(float value) => new((double)value, ScalarType.Float32);
    public static implicit operator Scalar(double value) => new(value, ScalarType.Float64);
    public static implicit operator Scalar(BFloat16 value) => new((double)value.ToSingle(), ScalarType.BFloat16);
    public static implicit operator Scalar(bool value) => new(value ? 1L : 0L, ScalarType.Bool);

    public void Dispose()
    {
    }
}

public static class ScalarExtensionMethods
{
    public static Scalar ToScalar(this byte value) => value;
    public static Scalar ToScalar(this sbyte value) => value;
    public static Scalar ToScalar(this short value) => value;
    public static Scalar ToScalar(this int value) => value;
    public static Scalar ToScalar(this long value) => value;
    public static Scalar ToScalar(this Half value) => value;
    public static Scalar ToScalar(this float value) => value;
    public static Scalar ToScalar(this double value) => value;
    public static Scalar ToScalar(this BFloat16 value) => value;
    public static Scalar ToScalar(this bool value) => value;
    public static float ToSingle(this Scalar value) => (float)value.AsDouble;
    public static double ToDouble(this Scalar value) => value.AsDouble;
    public static Half ToHalf(this Scalar value) => (Half)value.AsDouble;
    public static BFloat16 ToBFloat16(this Scalar value) => new((float)value.AsDouble);
    public static sbyte ToSByte(this Scalar value) => (sbyte)value.AsLong;
    public static byte ToByte(this Scalar value) => (byte)value.AsLong;
    public static short ToInt16(this Scalar value) => (short)value.AsLong;
    public static int ToInt32(this Scalar value) => (int)value.AsLong;
    public static long ToInt64(this Scalar value) => value.AsLong;
    public static bool ToBoolean(this Scalar value) => value.AsDouble != 0;
}
