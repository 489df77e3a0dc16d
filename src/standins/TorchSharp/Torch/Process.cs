using System.Runtime.InteropServices;
using TorchSharp.Interop;

namespace TorchSharp;

public static partial class torch
{
    public static unsafe string __version__ => Marshal.PtrToStringUTF8((nint)NativeMethods.ts_version())!;

    public static Generator manual_seed(long seed) => Generator.Default.manual_seed(seed);

    public static int get_num_threads()
    {
        var count = NativeMethods.ts_get_num_threads();
        NativeMethods.Check(count);
        return count;
    }

    public static void set_num_threads(int num) => NativeMethods.Check(NativeMethods.ts_set_num_threads(num));

    public static class random
    {
        public static Generator manual_seed(long seed) => torch.manual_seed(seed);
    }

    /// <summary>libtorch's default generator; there is no other here.</summary>
    public class Generator : IDisposable
    {
        private long _seed;

        private Generator()
        {
        }

        public static Generator Default { get; } = new();

        public Generator manual_seed(long seed)
        {
            NativeMethods.ts_manual_seed((ulong)seed);
            _seed = seed;
            return this;
        }

        public long initial_seed() => _seed;

        public void Dispose() => Dispose(true);

        protected virtual void Dispose(bool disposing)
        {
        }
    }
}
