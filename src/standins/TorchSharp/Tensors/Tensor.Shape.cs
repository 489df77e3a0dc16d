using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public partial class Tensor
    {
        public Tensor T => Aten.T.One(this);
        public Tensor mT => transpose(-2, -1);
        public Tensor t() => Aten.T.One(this);
        public Tensor transpose(long dim0, long dim1) => Aten.Transpose.One(this, dim0, dim1);
        public Tensor transpose_(long dim0, long dim1) => Aten.TransposeInPlace.InPlace(this, this, dim0, dim1);
        public Tensor swapaxes(long dim0, long dim1) => transpose(dim0, dim1);
        public Tensor permute(params long[] permutation) => Aten.Permute.One(this, permutation);
        public Tensor view(params long[] shape) => Aten.View.One(this, shape);
        public Tensor view_as(Tensor other) => view(other.shape);
        public Tensor reshape(params long[] shape) => Aten.Reshape.One(this, shape);
        public Tensor contiguous() => Aten.Contiguous.One(this, 0L);
        public Tensor slice(long dim, long start, long finish, long step) => Aten.Slice.One(this, dim, start, finish, step);
        public Tensor narrow(long dim, long start, long length) => Aten.Narrow.One(this, dim, start, length);
        public Tensor select(long dim, long index) => Aten.Select.One(this, dim, index);
        public Tensor expand(params long[] sizes) => Aten.Expand.One(this, sizes, false);
        public Tensor expand(long[] sizes, bool isImplicit = false) => Aten.Expand.One(this, sizes, isImplicit);
        public Tensor expand(ReadOnlySpan<long> sizes, bool isImplicit = false) => Aten.Expand.One(this, sizes.ToArray(), isImplicit);
        public Tensor expand_as(Tensor other) => expand(other.shape);
        public Tensor repeat(params long[] sizes) => Aten.Repeat.One(this, sizes);
        public Tensor unsqueeze(long dim) => Aten.Unsqueeze.One(this, dim);
        public Tensor squeeze(long? dim = null) => dim is { } d ? Aten.SqueezeDim.One(this, d) : Aten.Squeeze.One(this);
        public Tensor flatten(long start_dim = 0, long end_dim = -1) => Aten.Flatten.One(this, start_dim, end_dim);

        public Tensor unflatten(long dim, params long[] sizes)
        {
            var shape = this.shape;
            var at = (int)(dim < 0 ? dim + shape.Length : dim);
            return view([.. shape[..at], .. sizes, .. shape[(at + 1)..]]);
        }

        public Tensor[] split(long size, int dim = 0) => Aten.Split.Many(this, size, dim);
        public Tensor[] split(long[] sizes, long dim = 0) => Aten.SplitSizes.Many(this, sizes, dim);
        public Tensor[] split(ReadOnlySpan<long> sizes, long dim = 0) => Aten.SplitSizes.Many(this, sizes.ToArray(), dim);
        public Tensor[] chunk(long chunks, long dim = 0) => Aten.Chunk.Many(this, chunks, dim);
        public Tensor[] unbind(long dimension = 0) => Aten.Unbind.Many(this, dimension);

        public Tensor repeat_interleave(long repeats, long? dim = null, long? output_size = null) =>
            Aten.RepeatInterleaveInt.One(this, repeats, dim, output_size);

        public Tensor repeat_interleave(Tensor repeats, long? dim = null, long? output_size = null) =>
            Aten.RepeatInterleave.One(this, repeats, dim, output_size);

        public Tensor clone() => Aten.Clone.One(this, Arg.None);
        public Tensor cpu() => to(CPU);
        public Tensor @float() => to_type(ScalarType.Float32);
        public Tensor @long() => to_type(ScalarType.Int64);
        public Tensor @int() => to_type(ScalarType.Int32);
        public Tensor @bool() => to_type(ScalarType.Bool);
        public Tensor @byte() => to_type(ScalarType.Byte);
        public Tensor @double() => to_type(ScalarType.Float64);
        public Tensor half() => to_type(ScalarType.Float16);
        public Tensor bfloat16() => to_type(ScalarType.BFloat16);
        public Tensor type(ScalarType dtype) => to_type(dtype);
        public Tensor type_as(Tensor tensor) => to(tensor);

        public Tensor to_type(ScalarType type, bool copy = false, bool disposeAfter = false, bool non_blocking = false) =>
            After(Aten.ToDtype.One(this, type, non_blocking, copy, Arg.None), disposeAfter);

        public Tensor to(ScalarType type, bool copy = false, bool disposeAfter = false, bool non_blocking = false) =>
            to_type(type, copy, disposeAfter, non_blocking);

        public Tensor to(Device device, bool copy = false, bool disposeAfter = false, bool non_blocking = false) =>
            to(dtype, device, copy, disposeAfter, non_blocking);

        public Tensor to(ScalarType type, Device device, bool copy = false, bool disposeAfter = false, bool non_blocking = false) =>
            After(Aten.ToDevice.One(this, device, type, non_blocking, copy, Arg.None), disposeAfter);

        public Tensor to(Tensor other, bool non_blocking = false) => to(other.dtype, other.device, non_blocking: non_blocking);

        public Tensor to(string device, bool copy = false, bool disposeAfter = false, bool non_blocking = false) =>
            to(new Device(device), copy, disposeAfter, non_blocking);

        public Tensor to(DeviceType deviceType, int deviceIndex = -1, bool copy = false, bool disposeAfter = false, bool non_blocking = false) =>
            to(new Device(deviceType, deviceIndex), copy, disposeAfter, non_blocking);

        private Tensor After(Tensor result, bool disposeThis)
        {
            if (disposeThis)
                Dispose();
            return result;
        }
    }
}
