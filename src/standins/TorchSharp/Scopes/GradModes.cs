using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public static DisposeScope? CurrentDisposeScope => DisposeScopeManager.OfThread.Current;

    public static DisposeScope NewDisposeScope() => DisposeScopeManager.OfThread.NewScope();

    public static Tensor WrappedTensorDisposeScope(Func<Tensor> expr)
    {
        using var scope = NewDisposeScope();
        return expr().MoveToOuterDisposeScope();
    }

    public static IDisposable no_grad() => new GradMode(false);

    public static IDisposable enable_grad(bool enabled = true) => new GradMode(enabled);

    public static IDisposable set_grad_enabled(bool mode = true) => new GradMode(mode);

    public static bool is_grad_enabled() => NativeMethods.ts_grad_enabled() != 0;

    public static IDisposable inference_mode(bool mode = true) => new InferenceMode(mode);

    public static bool is_inference_mode_enabled() => NativeMethods.ts_inference_enabled() != 0;

    /// <summary>Sets the thread's recording of gradients until disposed.</summary>
    private sealed class GradMode : IDisposable
    {
        private readonly int _before = NativeMethods.ts_grad_enabled();

        internal GradMode(bool enabled) => NativeMethods.ts_set_grad_enabled(enabled ? 1 : 0);

        public void Dispose() => NativeMethods.ts_set_grad_enabled(_before);
    }

    /// <summary>Sets the thread's inference mode until disposed, on the same thread.</summary>
    private sealed class InferenceMode(bool enabled) : IDisposable
    {
        private nint _guard = NativeMethods.ts_enter_inference(enabled ? 1 : 0);

        public void Dispose()
        {
            if (_guard == 0)
                return;
            NativeMethods.ts_leave_inference(_guard);
            _guard = 0;
        }
    }
}
