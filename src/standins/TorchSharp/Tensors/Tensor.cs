using System.Globalization;
using System.Runtime.InteropServices;
using TorchSharp.Interop;
using TorchSharp.Utils;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Owns one reference to a libtorch tensor; the thread's newest dispose scope owns this.</summary>
    public partial class Tensor : IDisposable
    {
        private static long _totalCount;
        private static long _peakCount;

        private nint _handle;

        internal Tensor(nint handle)
        {
            _handle = handle;
            var live = Interlocked.Increment(ref _totalCount);
            if (live > Volatile.Read(ref _peakCount))
                Interlocked.Exchange(ref _peakCount, live);
            Scope = DisposeScopeManager.OfThread.Adopt(this);
        }

        ~Tensor() => Dispose(false);

        /// <summary>How many tensors are alive in the process.</summary>
        public static long TotalCount => Interlocked.Read(ref _totalCount);

        public static long PeakCount => Interlocked.Read(ref _peakCount);

        public nint Handle => _handle != 0
            ? _handle
            : throw new InvalidOperationException("Tensor invalid -- empty handle. It was disposed, perhaps by the scope that owned it.");

        public bool IsInvalid => _handle == 0;

        internal DisposeScope? Scope { get; set; }

        public void Dispose()
        {
            Dispose(true);
            GC.SuppressFinalize(this);
        }

        protected virtual void Dispose(bool disposing)
        {
            var handle = Interlocked.Exchange(ref _handle, 0);
            if (handle == 0)
                return;
            NativeMethods.ts_dispose(handle);
            Interlocked.Decrement(ref _totalCount);
            if (!disposing)
                return;
            if (Scope is { } scope)
                scope.MarkAsDisposed(this);
            else
                DisposeScopeManager.OfThread.Tensors.DisposedOutsideScope++;
        }

        public Tensor MoveToOuterDisposeScope()
        {
            Scope?.MoveToOuter(this);
            return this;
        }

        public Tensor DetachFromDisposeScope()
        {
            Scope?.Detach(this);
            return this;
        }

        public Tensor MoveToOtherDisposeScope(DisposeScope other)
        {
            if (Scope is { } scope)
                scope.MoveToOther(other, this);
            else
                other.Attach(this);
            return this;
        }

        public long Dimensions => Keep(NativeMethods.ts_dim(Handle));

        public long ndim => Dimensions;

        public long dim() => Dimensions;

        public long NumberOfElements => Keep(NativeMethods.ts_numel(Handle));

        public long numel() => NumberOfElements;

        public long ElementSize => SizeOf(dtype);

        public long element_size() => ElementSize;

        public ScalarType dtype => (ScalarType)Keep(NativeMethods.ts_dtype(Handle));

        public DeviceType device_type => Where().Type;

        public int device_index => Where().Index;

        public Device device => Where() is (DeviceType.CPU, _) ? CPU : new Device(device_type, device_index);

        public unsafe long[] shape
        {
            get
            {
                var sizes = new long[Dimensions];
                fixed (long* to = sizes)
                    NativeMethods.ts_sizes(Handle, to);
                GC.KeepAlive(this);
                return sizes;
            }
        }

        public long[] size() => shape;

        public unsafe long size(int dim)
        {
            var rank = (int)Dimensions;
            var sizes = stackalloc long[Math.Max(rank, 1)];
            NativeMethods.ts_sizes(Handle, sizes);
            GC.KeepAlive(this);
            return sizes[Wrap(dim, rank)];
        }

        public unsafe long[] stride()
        {
            var strides = new long[Dimensions];
            fixed (long* to = strides)
                NativeMethods.ts_strides(Handle, to);
            GC.KeepAlive(this);
            return strides;
        }

        public long stride(int dim)
        {
            var strides = stride();
            return strides[Wrap(dim, strides.Length)];
        }

        public bool is_contiguous() => Keep(NativeMethods.ts_is_contiguous(Handle)) != 0;

        public bool is_floating_point() => torch.is_floating_point(dtype);

        public bool is_integral() => dtype is ScalarType.Byte or ScalarType.Int8 or ScalarType.Int16 or ScalarType.Int32 or ScalarType.Int64;

        public bool is_cpu() => device_type == DeviceType.CPU;

        public bool is_cuda => device_type == DeviceType.CUDA;

        public bool is_meta => device_type == DeviceType.META;

        public unsafe Span<byte> bytes
        {
            get
            {
                var length = checked((int)(NumberOfElements * ElementSize));
                if (!is_contiguous())
                    throw new NotSupportedException("bytes needs a contiguous tensor. Call contiguous() first.");
                return new Span<byte>(Data(), length);
            }
            set
            {
                var to = bytes;
                if (value.Length != to.Length)
                    throw new ArgumentException($"Mismatched data sizes in call to Bytes setter: got {value.Length} bytes for a tensor of {to.Length}.");
                value.CopyTo(to);
            }
        }

        public TensorAccessor<T> data<T>() where T : unmanaged
        {
            if (device_type != DeviceType.CPU)
                throw new InvalidOperationException("Reading data from non-CPU memory is not supported. Move or copy the tensor to the cpu before reading.");
            if (TypeOf<T>() != dtype)
                throw new ArgumentException($"Cannot read elements of {dtype} as {typeof(T).Name}. Convert with to_type first.");
            return new TensorAccessor<T>(this);
        }

        public T item<T>() where T : unmanaged
        {
            if (NumberOfElements != 1)
                throw new ArgumentException($"Number of elements in the tensor must be 1, got {NumberOfElements}.");
            using var accessor = data<T>();
            return accessor[new long[Dimensions]];
        }

        internal unsafe void* Data()
        {
            var data = NativeMethods.ts_data(Handle);
            if (data == null && NumberOfElements > 0)
                throw new InvalidOperationException("The tensor has no memory that can be read.");
            return data;
        }

        public override string ToString() =>
            string.Create(CultureInfo.InvariantCulture, $"[{string.Join('x', shape)}], type = {dtype}, device = {device}");

        private static int Wrap(int dim, int rank) => dim < 0 ? dim + rank : dim;

        private unsafe (DeviceType Type, int Index) Where()
        {
            int index;
            var type = NativeMethods.ts_device(Handle, &index);
            GC.KeepAlive(this);
            return ((DeviceType)type, index);
        }

        private T Keep<T>(T value)
        {
            GC.KeepAlive(this);
            return value;
        }
    }
}
