using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace TorchSharp;

public static partial class torch
{
    public static Tensor tensor(float[] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<float>(rawArray, [rawArray.Length], dtype, device, requires_grad, names);
    public static Tensor tensor(float[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<float>(rawArray, dimensions, dtype, device, requires_grad, names);
    public static Tensor tensor(float[,] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<float>(rawArray, dtype, device, requires_grad, names);
    public static Tensor tensor(float[,,] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<float>(rawArray, dtype, device, requires_grad, names);
    public static Tensor tensor(double[] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<double>(rawArray, [rawArray.Length], dtype, device, requires_grad, names);
    public static Tensor tensor(double[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<double>(rawArray, dimensions, dtype, device, requires_grad, names);
    public static Tensor tensor(double[,] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<double>(rawArray, dtype, device, requires_grad, names);
    public static Tensor tensor(long[] dataArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<long>(dataArray, [dataArray.Length], dtype, device, requires_grad, names);
    public static Tensor tensor(long[] dataArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<long>(dataArray, dimensions, dtype, device, requires_grad, names);
    public static Tensor tensor(long[,] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<long>(rawArray, dtype, device, requires_grad, names);
    public static Tensor tensor(int[] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<int>(rawArray, [rawArray.Length], dtype, device, requires_grad, names);
    public static Tensor tensor(int[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<int>(rawArray, dimensions, dtype, device, requires_grad, names);
    public static Tensor tensor(bool[] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<bool>(rawArray, [rawArray.Length], dtype, device, requires_grad, names);
    public static Tensor tensor(bool[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<bool>(rawArray, dimensions, dtype, device, requires_grad, names);
    public static Tensor tensor(byte[] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<byte>(rawArray, [rawArray.Length], dtype, device, requires_grad, names);
    public static Tensor tensor(byte[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<byte>(rawArray, dimensions, dtype, device, requires_grad, names);
    public static Tensor tensor(BFloat16[] rawArray, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<BFloat16>(rawArray, [rawArray.Length], dtype, device, requires_grad, names);
    public static Tensor tensor(BFloat16[] rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<BFloat16>(rawArray, dimensions, dtype, device, requires_grad, names);

    public static Tensor tensor(IList<float> rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<float>(ToArray(rawArray), dimensions, dtype, device, requires_grad, names);
    public static Tensor tensor(IList<float> rawArray, long rows, long columns, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<float>(ToArray(rawArray), [rows, columns], dtype, device, requires_grad, names);
    public static Tensor tensor(IList<float> rawArray, long dim0, long dim1, long dim2, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<float>(ToArray(rawArray), [dim0, dim1, dim2], dtype, device, requires_grad, names);
    public static Tensor tensor(IList<float> rawArray, long dim0, long dim1, long dim2, long dim3, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<float>(ToArray(rawArray), [dim0, dim1, dim2, dim3], dtype, device, requires_grad, names);
    public static Tensor tensor(IList<long> rawArray, ReadOnlySpan<long> dimensions, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<long>(ToArray(rawArray), dimensions, dtype, device, requires_grad, names);
    public static Tensor tensor(IList<long> rawArray, long rows, long columns, ScalarType? dtype = null, Device? device = null, bool requires_grad = false, string[]? names = null) => Copy<long>(ToArray(rawArray), [rows, columns], dtype, device, requires_grad, names);

    public static Tensor tensor(float scalar, Device? device = null, bool requires_grad = false) => Copy<float>([scalar], [], null, device, requires_grad, null);
    public static Tensor tensor(double scalar, ScalarType? dtype = null, Device? device = null, bool requires_grad = false) => Copy<double>([scalar], [], dtype, device, requires_grad, null);
    public static Tensor tensor(long scalar, ScalarType? dtype = null, Device? device = null, bool requires_grad = false) => Copy<long>([scalar], [], dtype, device, requires_grad, null);
    public static Tensor tensor(int scalar, Device? device = null, bool requires_grad = false) => Copy<int>([scalar], [], null, device, requires_grad, null);
    public static Tensor tensor(bool scalar, ScalarType? dtype = null, Device? device = null, bool requires_grad = false) => Copy<bool>([scalar], [], dtype, device, requires_grad, null);

    public static Tensor from_array(Array rawArray, Device? device = null) => from_array(rawArray, null, device);

    public static Tensor from_array(Array rawArray, ScalarType? dtype, Device? device = null, bool requires_grad = false, string[]? names = null)
    {
        var element = rawArray.GetType().GetElementType();
        if (element == typeof(float)) return Copy<float>(rawArray, dtype, device, requires_grad, names);
        if (element == typeof(double)) return Copy<double>(rawArray, dtype, device, requires_grad, names);
        if (element == typeof(long)) return Copy<long>(rawArray, dtype, device, requires_grad, names);
        if (element == typeof(int)) return Copy<int>(rawArray, dtype, device, requires_grad, names);
        if (element == typeof(short)) return Copy<short>(rawArray, dtype, device, requires_grad, names);
        if (element == typeof(byte)) return Copy<byte>(rawArray, dtype, device, requires_grad, names);
        if (element == typeof(sbyte)) return Copy<sbyte>(rawArray, dtype, device, requires_grad, names);
        if (element == typeof(bool)) return Copy<bool>(rawArray, dtype, device, requires_grad, names);
        if (element == typeof(Half)) return Copy<Half>(rawArray, dtype, device, requires_grad, names);
        if (element == typeof(BFloat16)) return Copy<BFloat16>(rawArray, dtype, device, requires_grad, names);
        throw new NotSupportedException($"Arrays of {element} have no tensor type.");
    }

    private static T[] ToArray<T>(IList<T> list) => list as T[] ?? [.. list];

    private static unsafe Tensor Copy<T>(Array array, ScalarType? dtype, Device? device, bool requires_grad, string[]? names) where T : unmanaged
    {
        Span<long> dimensions = stackalloc long[array.Rank];
        for (var i = 0; i < array.Rank; i++)
            dimensions[i] = array.GetLength(i);
        ref var first = ref Unsafe.As<byte, T>(ref MemoryMarshal.GetArrayDataReference(array));
        return Copy(MemoryMarshal.CreateReadOnlySpan(ref first, array.Length), dimensions, dtype, device, requires_grad, names);
    }

    private static unsafe Tensor Copy<T>(ReadOnlySpan<T> elements, ReadOnlySpan<long> dimensions, ScalarType? dtype, Device? device, bool requires_grad, string[]? names)
        where T : unmanaged
    {
        var count = 1L;
        foreach (var length in dimensions)
            count = checked(count * length);
        if (count != elements.Length)
            throw new ArgumentException($"mismatched total size creating a tensor from an array: {elements.Length} elements for a shape of {count}.");
        var tensor = empty(dimensions.ToArray(), TypeOf<T>());
        elements.CopyTo(new Span<T>(tensor.Data(), elements.Length));
        if (dtype is not null || device is { type: not DeviceType.CPU })
        {
            var converted = tensor.to(dtype ?? tensor.dtype, device ?? CPU);
            tensor.Dispose();
            tensor = converted;
        }
        return Ready(tensor, requires_grad, names);
    }
}
