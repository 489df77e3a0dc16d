namespace TorchSharp;

public static partial class torch
{
    public static partial class autograd
    {
        /// <summary>What a custom function keeps from forward for backward.</summary>
        public class AutogradContext : IDisposable
        {
            private readonly Dictionary<string, object> _data = new(StringComparer.Ordinal);
            private List<Tensor> _saved = [];

            internal AutogradContext()
            {
            }

            public bool MaterializeGrads { get; private set; } = true;

            internal List<Tensor> NonDifferentiable { get; } = [];

            /// <remarks>
            /// Kept detached and outside every scope: a saved output must not keep its own graph alive, and a saved
            /// input must outlive the scope that owns it.
            /// </remarks>
            public void save_for_backward(List<Tensor> tensors) =>
                _saved = tensors.ConvertAll(tensor => tensor is null ? null! : tensor.detach().DetachFromDisposeScope());

            public List<Tensor> get_saved_variables() => _saved;

            public void save_data(string key, object value) => _data[key] = value;

            public object get_data(string key) => _data[key];

            public void set_materialize_grads(bool value) => MaterializeGrads = value;

            public void mark_non_differentiable(List<Tensor> tensors) => NonDifferentiable.AddRange(tensors);

            public void Dispose()
            {
                Dispose(true);
                GC.SuppressFinalize(this);
            }

            protected virtual void Dispose(bool disposing)
            {
                foreach (var tensor in _saved)
                    tensor?.Dispose();
                _saved = [];
            }
        }
    }
}
