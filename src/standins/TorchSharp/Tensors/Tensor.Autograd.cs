using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public partial class Tensor
    {
        public bool requires_grad
        {
            get => Keep(NativeMethods.ts_requires_grad(Handle)) != 0;
            set => NativeMethods.Check(Keep(NativeMethods.ts_set_requires_grad(Handle, value ? 1 : 0)));
        }

        public Tensor requires_grad_(bool requires_grad = true)
        {
            this.requires_grad = requires_grad;
            return this;
        }

        public bool is_leaf => Keep(NativeMethods.ts_is_leaf(Handle)) != 0;

        public Tensor? grad
        {
            get
            {
                var handle = Keep(NativeMethods.ts_grad(Handle));
                return handle == 0 ? null : new Tensor(handle);
            }
            set
            {
                NativeMethods.Check(Keep(NativeMethods.ts_set_grad(Handle, value?.Handle ?? 0)));
                GC.KeepAlive(value);
            }
        }

        public void retain_grad() => NativeMethods.Check(Keep(NativeMethods.ts_retain_grad(Handle)));

        public void backward() => backward(null);

        public void backward(IList<Tensor>? grad_tensors = null, bool retain_graph = false, bool create_graph = false, IList<Tensor>? inputs = null) =>
            autograd.backward([this], grad_tensors, retain_graph, create_graph, inputs);

        public Tensor detach() => Aten.Detach.One(this);

        public Tensor detach_() => Aten.DetachInPlace.InPlace(this, this);

        public Tensor alias() => new(Keep(NativeMethods.ts_share(Handle)));
    }
}
