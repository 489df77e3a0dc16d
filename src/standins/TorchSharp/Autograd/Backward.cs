using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public static partial class autograd
    {
        public static void backward(Tensor tensor, Tensor grad_tensor, bool? retain_graph = null, bool create_graph = false, IList<Tensor>? inputs = null) =>
            backward([tensor], [grad_tensor], retain_graph, create_graph, inputs);

        public static void backward(Tensor tensor, IList<Tensor>? grad_tensors = null, bool? retain_graph = null, bool create_graph = false, IList<Tensor>? inputs = null) =>
            backward([tensor], grad_tensors, retain_graph, create_graph, inputs);

        public static unsafe void backward(IList<Tensor> tensors, IList<Tensor>? grad_tensors = null, bool? retain_graph = null, bool create_graph = false, IList<Tensor>? inputs = null)
        {
            var roots = Handles(tensors);
            var grads = Handles(grad_tensors);
            var leaves = Handles(inputs);
            int status;
            fixed (nint* rootsAt = roots, gradsAt = grads, leavesAt = leaves)
            {
                status = NativeMethods.ts_backward(rootsAt, roots.Length, gradsAt, grads.Length, (retain_graph ?? create_graph) ? 1 : 0,
                    create_graph ? 1 : 0, leavesAt, leaves.Length);
            }
            GC.KeepAlive(tensors);
            GC.KeepAlive(grad_tensors);
            GC.KeepAlive(inputs);
            Function.Check(status);
        }

        public static unsafe IList<Tensor> grad(IList<Tensor> outputs, IList<Tensor> inputs, IList<Tensor>? grad_outputs = null, bool retain_graph = false, bool create_graph = false, bool allow_unused = false)
        {
            var roots = Handles(outputs);
            var leaves = Handles(inputs);
            var grads = Handles(grad_outputs);
            var found = new nint[leaves.Length];
            int status;
            fixed (nint* rootsAt = roots, gradsAt = grads, leavesAt = leaves, foundAt = found)
            {
                status = NativeMethods.ts_gradients(rootsAt, roots.Length, leavesAt, leaves.Length, gradsAt, grads.Length,
                    retain_graph || create_graph ? 1 : 0, create_graph ? 1 : 0, allow_unused ? 1 : 0, foundAt);
            }
            GC.KeepAlive(outputs);
            GC.KeepAlive(inputs);
            GC.KeepAlive(grad_outputs);
            Function.Check(status);
            return Array.ConvertAll(found, handle => handle == 0 ? null! : new Tensor(handle));
        }

        internal static nint[] Handles(IList<Tensor>? tensors)
        {
            if (tensors is null)
                return [];
            var handles = new nint[tensors.Count];
            for (var i = 0; i < handles.Length; i++)
                handles[i] = tensors[i] is { } tensor ? tensor.Handle : 0;
            return handles;
        }
    }
}
