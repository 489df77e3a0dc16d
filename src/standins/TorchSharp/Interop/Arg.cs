using static TorchSharp.torch;

namespace TorchSharp.Interop;

/// <summary>One argument of an operator before it is handed to libtorch: a value, or an object it is read from.</summary>
internal readonly struct Arg
{
    internal readonly ArgKind Kind;
    internal readonly int Count;
    internal readonly long Bits;
    internal readonly object? Source;

    private Arg(ArgKind kind, long bits = 0, object? source = null, int count = 0)
    {
        Kind = kind;
        Bits = bits;
        Source = source;
        Count = count;
    }

    internal static Arg None => default;

    internal static Arg OptionalTensors(Tensor?[] tensors) => new(ArgKind.OptionalTensorList, source: tensors, count: tensors.Length);

    public static implicit operator Arg(Tensor? tensor) => tensor is null ? default : new(ArgKind.Tensor, source: tensor);
    public static implicit operator Arg(Tensor[] tensors) => new(ArgKind.TensorList, source: tensors, count: tensors.Length);
    public static implicit operator Arg(long[]? values) => values is null ? default : new(ArgKind.IntList, source: values, count: values.Length);
    public static implicit operator Arg(long value) => new(ArgKind.Int, value);
    public static implicit operator Arg(int value) => new(ArgKind.Int, value);
    public static implicit operator Arg(long? value) => value is { } v ? new(ArgKind.Int, v) : default;
    public static implicit operator Arg(double value) => new(ArgKind.Double, BitConverter.DoubleToInt64Bits(value));
    public static implicit operator Arg(double? value) => value is { } v ? v : default(Arg);
    public static implicit operator Arg(bool value) => new(ArgKind.Bool, value ? 1 : 0);

    public static implicit operator Arg(string value)
    {
        var utf8 = System.Text.Encoding.UTF8.GetBytes(value);
        return new(ArgKind.Text, source: utf8, count: utf8.Length);
    }

    public static implicit operator Arg(ScalarType type) => new(ArgKind.Int, (long)type);
    public static implicit operator Arg(ScalarType? type) => type is { } t ? t : default(Arg);
    public static implicit operator Arg(Device? device) =>
        device is null ? default : new(ArgKind.Device, (long)device.type, count: device.index);
    public static implicit operator Arg(Scalar? scalar) =>
        scalar is null ? default : new(scalar.Kind, scalar.Bits);
}
