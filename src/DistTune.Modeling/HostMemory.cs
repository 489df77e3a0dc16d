using System.Runtime.InteropServices;

namespace DistTune.Modeling;

/// <summary>Moves values between managed memory and tensors.</summary>
internal static class HostMemory
{
    /// <summary>A tensor on <paramref name="device"/> with a copy of the values, row-major.</summary>
    public static Tensor Upload<T>(ReadOnlySpan<T> values, long[] shape, ScalarType type, Device device)
        where T : unmanaged
    {
        var host = torch.empty(shape, dtype: type, device: torch.CPU);
        MemoryMarshal.AsBytes(values).CopyTo(host.bytes);
        if (device.type == DeviceType.CPU)
        {
            return host;
        }

        var result = host.to(device);
        host.Dispose();
        return result;
    }

    /// <summary>Hands the fp32 values of a tensor, row-major, to <paramref name="read"/>; the span is valid during the call.</summary>
    public static void Read<TState>(Tensor tensor, TState state, System.Buffers.ReadOnlySpanAction<float, TState> read)
    {
        using var scope = torch.NewDisposeScope();
        var packed = tensor.to(ScalarType.Float32).cpu().contiguous();
        read(MemoryMarshal.Cast<byte, float>(packed.bytes), state);
    }

    /// <summary>A copy of an fp64 tensor's values, row-major.</summary>
    public static double[] Doubles(Tensor tensor)
    {
        using var scope = torch.NewDisposeScope();
        return MemoryMarshal.Cast<byte, double>(tensor.cpu().contiguous().bytes).ToArray();
    }

    /// <summary>A copy of the fp32 values of a tensor, row-major.</summary>
    public static float[] Download(Tensor tensor)
    {
        var values = new float[tensor.NumberOfElements];
        Read(tensor, values, static (span, destination) => span.CopyTo(destination));
        return values;
    }
}
