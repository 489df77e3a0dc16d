using static TorchSharp.torch;

namespace TorchSharp;

public static class TensorExtensionMethods
{
    public static int ElementSize(this ScalarType type) => SizeOf(type);

    public static float ToSingle(this Tensor value) => Read<float>(value, ScalarType.Float32);
    public static double ToDouble(this Tensor value) => Read<double>(value, ScalarType.Float64);
    public static int ToInt32(this Tensor value) => Read<int>(value, ScalarType.Int32);
    public static long ToInt64(this Tensor value) => Read<long>(value, ScalarType.Int64);
    public static bool ToBoolean(this Tensor value) => Read<bool>(value, ScalarType.Bool);
    public static byte ToByte(this Tensor value) => Read<byte>(value, ScalarType.Byte);

    // Reads one element, converted where its type is another.
    private static T Read<T>(Tensor value, ScalarType type) where T : unmanaged
    {
        if (value.dtype == type)
            return value.item<T>();
        using var converted = value.to_type(type);
        return converted.item<T>();
    }
}
