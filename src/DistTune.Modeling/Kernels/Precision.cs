namespace DistTune.Modeling.Kernels;

/// <summary>Which types are exact enough for norms, softmax, losses and adapters.</summary>
internal static class Precision
{
    /// <summary>The tensor itself in fp32 or fp64, otherwise a copy in fp32.</summary>
    public static Tensor Wide(Tensor tensor) => IsWide(tensor) ? tensor : tensor.to(ScalarType.Float32);

    /// <summary>Whether the tensor is in fp32 or fp64.</summary>
    public static bool IsWide(Tensor tensor) => tensor.dtype is ScalarType.Float32 or ScalarType.Float64;

    /// <summary>A frozen or shared tensor in the type of another, for the one operation that reads it: never the tensor itself, so that it may be freed.</summary>
    public static Tensor Alike(Tensor tensor, Tensor other) => tensor.dtype == other.dtype ? tensor.view(tensor.shape) : tensor.to(other.dtype);
}
