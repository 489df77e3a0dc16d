using System.Runtime.CompilerServices;
using static TorchSharp.torch;

namespace TorchSharp.Interop;

/// <summary>One ATen operator, found by name at its first call.</summary>
internal sealed unsafe class Op(string name, string overload = "")
{
    private const int MostResults = 4;
    private const int ScratchWords = 64;

    private nint _handle;

    /// <summary>Calls the operator and gives its only result.</summary>
    internal Tensor One(params ReadOnlySpan<Arg> args)
    {
        var results = stackalloc NativeArg[MostResults];
        Invoke(args, results);
        return new Tensor((nint)results[0].Bits);
    }

    /// <summary>Calls an operator that writes into <paramref name="self"/>, and gives that same object back.</summary>
    internal Tensor InPlace(Tensor self, params ReadOnlySpan<Arg> args)
    {
        var results = stackalloc NativeArg[MostResults];
        Invoke(args, results);
        NativeMethods.ts_dispose((nint)results[0].Bits);
        return self;
    }

    /// <summary>Calls the operator and gives its two results.</summary>
    internal (Tensor, Tensor) Two(params ReadOnlySpan<Arg> args)
    {
        var results = stackalloc NativeArg[MostResults];
        Invoke(args, results);
        return (new Tensor((nint)results[0].Bits), new Tensor((nint)results[1].Bits));
    }

    /// <summary>Calls the operator and gives its list of tensors.</summary>
    internal Tensor[] Many(params ReadOnlySpan<Arg> args)
    {
        var results = stackalloc NativeArg[MostResults];
        Invoke(args, results);
        var handles = (nint*)results[0].Bits;
        var tensors = new Tensor[results[0].Count];
        for (var i = 0; i < tensors.Length; i++)
            tensors[i] = new Tensor(handles[i]);
        NativeMethods.ts_free_list((nint)handles);
        return tensors;
    }

    /// <summary>Calls the operator and gives its truth value.</summary>
    internal bool Truth(params ReadOnlySpan<Arg> args)
    {
        var results = stackalloc NativeArg[MostResults];
        Invoke(args, results);
        return results[0].Bits != 0;
    }

    private void Invoke(ReadOnlySpan<Arg> args, NativeArg* results)
    {
        if (_handle == 0)
            Find();
        // Lists are copied to words that the collector cannot move; few operators need more than the stack's share.
        var words = 0;
        foreach (ref readonly var arg in args)
            words += arg.Count;
        if (words <= ScratchWords)
        {
            var scratch = stackalloc long[ScratchWords];
            Invoke(args, results, scratch);
        }
        else
        {
            fixed (long* scratch = new long[words])
                Invoke(args, results, scratch);
        }
    }

    private void Invoke(ReadOnlySpan<Arg> args, NativeArg* results, long* scratch)
    {
        var native = stackalloc NativeArg[args.Length];
        for (var i = 0; i < args.Length; i++)
        {
            ref readonly var arg = ref args[i];
            var to = native + i;
            to->Kind = arg.Kind;
            to->Count = arg.Count;
            to->Bits = arg.Bits;
            switch (arg.Kind)
            {
                case ArgKind.Tensor:
                    to->Bits = Unsafe.As<Tensor>(arg.Source!).Handle;
                    break;
                case ArgKind.IntList:
                    Unsafe.As<long[]>(arg.Source!).CopyTo(new Span<long>(scratch, arg.Count));
                    to->Bits = (long)scratch;
                    scratch += arg.Count;
                    break;
                case ArgKind.TensorList or ArgKind.OptionalTensorList:
                    var tensors = Unsafe.As<Tensor?[]>(arg.Source!);
                    for (var j = 0; j < tensors.Length; j++)
                        scratch[j] = tensors[j] is { } tensor ? tensor.Handle : 0;
                    to->Bits = (long)scratch;
                    scratch += arg.Count;
                    break;
                case ArgKind.Text:
                    Unsafe.As<byte[]>(arg.Source!).CopyTo(new Span<byte>(scratch, arg.Count));
                    to->Bits = (long)scratch;
                    scratch += arg.Count;
                    break;
            }
        }
        var status = NativeMethods.ts_call(_handle, native, args.Length, results, MostResults);
        // The tensors must outlive the call: their finalizers would take the handles away under it.
        foreach (ref readonly var arg in args)
            GC.KeepAlive(arg.Source);
        NativeMethods.Check(status);
    }

    private void Find()
    {
        var handle = NativeMethods.ts_find_operator("aten::" + name, overload);
        if (handle == 0)
            NativeMethods.Throw();
        _handle = handle;
    }
}
