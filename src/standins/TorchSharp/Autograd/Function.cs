using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public static partial class autograd
    {
        /// <summary>What custom functions of every kind share: a node in libtorch's graph that calls back.</summary>
        internal static class Function
        {
            [ThreadStatic]
            private static Exception? _thrown;

            internal delegate List<Tensor> Forward(AutogradContext context, object[] vars);

            internal delegate List<Tensor> Backward(AutogradContext context, List<Tensor> grads);

            /// <summary>Throws what a managed backward threw inside libtorch's engine, or libtorch's own message.</summary>
            internal static void Check(int status)
            {
                if (status >= 0)
                    return;
                if (_thrown is { } thrown)
                {
                    _thrown = null;
                    ExceptionDispatchInfo.Throw(thrown);
                }
                NativeMethods.Throw();
            }

            internal static unsafe List<Tensor> Apply(object[] vars, Forward forward, Backward backward)
            {
                var context = new AutogradContext();
                List<Tensor> outputs;
                using (no_grad())
                    outputs = forward(context, vars);
                var inputs = Array.FindAll(vars, v => v is Tensor).Cast<Tensor>().ToArray();
                if (!is_grad_enabled() || !Array.Exists(inputs, input => input.requires_grad))
                {
                    context.Dispose();
                    return outputs;
                }
                var node = new Node(context, backward, Array.ConvertAll(vars, v => v is Tensor), Array.ConvertAll(inputs, input => input.requires_grad));
                var from = Handles(inputs);
                var to = Handles(outputs.FindAll(output => !context.NonDifferentiable.Exists(other => ReferenceEquals(other, output))));
                int status;
                fixed (nint* fromAt = from, toAt = to)
                {
                    status = NativeMethods.ts_connect(fromAt, from.Length, toAt, to.Length, GCHandle.ToIntPtr(GCHandle.Alloc(node)),
                        context.MaterializeGrads ? 1 : 0, &Run, &Forget);
                }
                GC.KeepAlive(inputs);
                GC.KeepAlive(outputs);
                NativeMethods.Check(status);
                return outputs;
            }

            [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
            private static unsafe int Run(long id, nint* grads, int gradCount, nint* results, int inputCount)
            {
                var node = (Node)GCHandle.FromIntPtr((nint)id).Target!;
                using var scope = NewDisposeScope();
                try
                {
                    var given = new List<Tensor>(gradCount);
                    for (var i = 0; i < gradCount; i++)
                        given.Add(grads[i] == 0 ? null! : new Tensor(grads[i]));
                    node.Run(given, new Span<nint>(results, inputCount));
                    return 0;
                }
                catch (Exception thrown)
                {
                    // No exception may cross libtorch's frames: it is thrown again where backward was called.
                    _thrown = thrown;
                    return -1;
                }
            }

            [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
            private static void Forget(long id)
            {
                var handle = GCHandle.FromIntPtr((nint)id);
                ((Node)handle.Target!).Context.Dispose();
                handle.Free();
            }

            private sealed class Node(AutogradContext context, Backward backward, bool[] isTensor, bool[] needsGrad)
            {
                internal AutogradContext Context { get; } = context;

                internal void Run(List<Tensor> grads, Span<nint> results)
                {
                    var found = backward(Context, grads);
                    // Either one gradient per argument of forward, or one per tensor among them.
                    if (found.Count == isTensor.Length)
                        found = [.. found.Where((_, i) => isTensor[i])];
                    if (found.Count != results.Length)
                        throw new InvalidOperationException($"backward gave {found.Count} gradients for {results.Length} tensors given to forward.");
                    for (var i = 0; i < results.Length; i++)
                        results[i] = needsGrad[i] && found[i] is { } grad ? NativeMethods.ts_share(grad.Handle) : 0;
                    GC.KeepAlive(found);
                }
            }
        }

        public abstract class Function<T> where T : Function<T>, new()
        {
            public abstract string Name { get; }
        }

        public abstract class SingleTensorFunction<T> : Function<T> where T : SingleTensorFunction<T>, new()
        {
            public abstract Tensor forward(AutogradContext ctx, params object[] vars);

            public abstract List<Tensor> backward(AutogradContext ctx, Tensor grad_output);

            public static Tensor apply(params object[] vars)
            {
                var function = new T();
                return Function.Apply(vars, (ctx, given) => [function.forward(ctx, given)], (ctx, grads) => function.backward(ctx, grads[0]))[0];
            }
        }

        public abstract class MultiTensorFunction<T> : Function<T> where T : MultiTensorFunction<T>, new()
        {
            public abstract List<Tensor> forward(AutogradContext ctx, params object[] vars);

            public abstract List<Tensor> backward(AutogradContext ctx, List<Tensor> grad_outputs);

            public static List<Tensor> apply(params object[] vars)
            {
                var function = new T();
                return Function.Apply(vars, function.forward, function.backward);
            }
        }
    }
}
