using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace TorchSharp.Interop;

/// <summary>The C surface of <c>native/shim.cpp</c>.</summary>
internal static unsafe partial class NativeMethods
{
    private const string Library = "TorchSharpShim";

    // Here, where every other thread waits: one that loaded libtorch meanwhile would be left with the kernels that it falls back to.
    static NativeMethods()
    {
        BlasKernels.Choose();
        NativeLibrary.SetDllImportResolver(typeof(NativeMethods).Assembly, Resolve);
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? search)
    {
        if (name != Library)
            return 0;
        var beside = Path.Combine(Path.GetDirectoryName(assembly.Location) ?? "", $"lib{Library}.so");
        var path = File.Exists(beside) ? beside : Path.Combine(AppContext.BaseDirectory, $"lib{Library}.so");
        try
        {
            return NativeLibrary.Load(path);
        }
        catch (DllNotFoundException missing)
        {
            throw new DllNotFoundException(
                $"{path} or libtorch, which it needs, could not be loaded ({missing.Message.Trim()}). " +
                "Debian packages: libtorch1.13 libopenblas0-pthread. Cure: ./disttune setup", missing);
        }
    }

    [LibraryImport(Library)] internal static partial byte* ts_error();
    [LibraryImport(Library)] internal static partial byte* ts_version();
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint ts_find_operator(string name, string overload);
    [LibraryImport(Library)] internal static partial int ts_call(nint op, NativeArg* args, int count, NativeArg* outs, int capacity);
    [LibraryImport(Library), SuppressGCTransition] internal static partial void ts_free_list(nint list);
    [LibraryImport(Library)] internal static partial void ts_dispose(nint handle);
    [LibraryImport(Library), SuppressGCTransition] internal static partial nint ts_share(nint handle);
    [LibraryImport(Library)] internal static partial void* ts_data(nint handle);
    [LibraryImport(Library), SuppressGCTransition] internal static partial long ts_dim(nint handle);
    [LibraryImport(Library), SuppressGCTransition] internal static partial void ts_sizes(nint handle, long* sizes);
    [LibraryImport(Library), SuppressGCTransition] internal static partial void ts_strides(nint handle, long* strides);
    [LibraryImport(Library), SuppressGCTransition] internal static partial long ts_numel(nint handle);
    [LibraryImport(Library), SuppressGCTransition] internal static partial int ts_dtype(nint handle);
    [LibraryImport(Library), SuppressGCTransition] internal static partial int ts_device(nint handle, int* index);
    [LibraryImport(Library), SuppressGCTransition] internal static partial int ts_is_contiguous(nint handle);
    [LibraryImport(Library)] internal static partial int ts_is_leaf(nint handle);
    [LibraryImport(Library)] internal static partial int ts_requires_grad(nint handle);
    [LibraryImport(Library)] internal static partial int ts_set_requires_grad(nint handle, int value);
    [LibraryImport(Library)] internal static partial nint ts_grad(nint handle);
    [LibraryImport(Library)] internal static partial int ts_set_grad(nint handle, nint grad);
    [LibraryImport(Library)] internal static partial int ts_retain_grad(nint handle);
    [LibraryImport(Library)]
    internal static partial int ts_backward(nint* roots, int count, nint* grads, int gradCount, int retain, int create, nint* inputs, int inputCount);
    [LibraryImport(Library)]
    internal static partial int ts_gradients(nint* outputs, int count, nint* inputs, int inputCount, nint* grads, int gradCount,
        int retain, int create, int allowUnused, nint* results);
    [LibraryImport(Library)]
    internal static partial int ts_connect(nint* inputs, int inputCount, nint* outputs, int outputCount, long id, int materialize,
        delegate* unmanaged[Cdecl]<long, nint*, int, nint*, int, int> run, delegate* unmanaged[Cdecl]<long, void> forget);
    [LibraryImport(Library)] internal static partial int ts_grad_enabled();
    [LibraryImport(Library)] internal static partial void ts_set_grad_enabled(int value);
    [LibraryImport(Library)] internal static partial int ts_inference_enabled();
    [LibraryImport(Library)] internal static partial nint ts_enter_inference(int value);
    [LibraryImport(Library)] internal static partial void ts_leave_inference(nint guard);
    [LibraryImport(Library)] internal static partial void ts_manual_seed(ulong seed);
    [LibraryImport(Library)] internal static partial int ts_get_num_threads();
    [LibraryImport(Library)] internal static partial int ts_set_num_threads(int count);

    /// <summary>Throws libtorch's message when <paramref name="status"/> says that the call failed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Check(int status)
    {
        if (status < 0)
            Throw();
    }

    internal static void Throw() => throw new ExternalException(Marshal.PtrToStringUTF8((nint)ts_error()));
}

/// <summary>One argument or result of a boxed call, laid out as the shim's <c>Arg</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NativeArg
{
    public ArgKind Kind;
    public int Count;
    public long Bits;
}

/// <summary>The shim's <c>Tag</c>.</summary>
internal enum ArgKind
{
    None = 0,
    Tensor = 1,
    Int = 2,
    Double = 3,
    Bool = 4,
    IntList = 5,
    TensorList = 6,
    OptionalTensorList = 7,
    Text = 8,
    Device = 9,
}
