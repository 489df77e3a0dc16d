using System.Diagnostics;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTune.StandIns.Tests;

/// <summary>Measures how threads share the machine, so nothing else may run beside it.</summary>
[CollectionDefinition(nameof(ThreadTests), DisableParallelization = true)]
[Collection(nameof(ThreadTests))]
public sealed class ThreadTests
{
    private const int Width = 384;
    private const int Rounds = 40;

    public ThreadTests() => set_num_threads(1);

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Products_on_many_threads_at_once_equal_one_threads_to_the_bit(ScalarType type)
    {
        var expected = Products(7, type);
        var results = new byte[4][];
        RunOn(results.Length, i => results[i] = Products(7, type));
        Assert.All(results, result => Assert.Equal(expected, result));
    }

    [Fact]
    public void Gradients_on_many_threads_at_once_equal_one_threads_to_the_bit()
    {
        static byte[] Gradient()
        {
            using var scope = NewDisposeScope();
            var a = arange(200 * 64, ScalarType.Float32).view(200, 64).sin().requires_grad_();
            var b = arange(64 * 96, ScalarType.Float32).view(64, 96).cos().requires_grad_();
            nn.functional.silu(a.mm(b)).softmax(-1).pow(2).sum().backward();
            return [.. a.grad!.bytes, .. b.grad!.bytes];
        }
        var expected = Gradient();
        var results = new byte[4][];
        RunOn(results.Length, i => results[i] = Gradient());
        Assert.All(results, result => Assert.Equal(expected, result));
    }

    [Fact]
    public void One_thread_is_one_thread_everywhere()
    {
        Assert.Equal(1, get_num_threads());
        var seen = 0;
        RunOn(1, _ => seen = get_num_threads());
        Assert.Equal(1, seen);
        using var scope = NewDisposeScope();
        var a = randn([Width, Width]);
        a.mm(a);
        // BLAS threads that spin or work would show as processor time beyond the wall clock's, every time; the runtime's own threads do only at times.
        var best = double.MaxValue;
        for (var attempt = 0; attempt < 8 && best > 1.35; attempt++)
        {
            using var process = Process.GetCurrentProcess();
            var cpu = process.TotalProcessorTime;
            var clock = Stopwatch.StartNew();
            Multiply(a, Rounds);
            var wall = clock.Elapsed;
            process.Refresh();
            best = Math.Min(best, (process.TotalProcessorTime - cpu) / wall);
        }

        Assert.InRange(best, 0, 1.35);
    }

    [Fact]
    public void Two_threads_do_twice_the_work()
    {
        Assert.SkipWhen(Environment.ProcessorCount < 2, "needs two processors");
        using var scope = NewDisposeScope();
        var a = randn([Width, Width]).DetachFromDisposeScope();
        Multiply(a, Rounds);
        // The other processes of the machine can only make the ratio worse, so the best of a few counts.
        var best = double.MaxValue;
        for (var attempt = 0; attempt < 8 && best > 1.35; attempt++)
        {
            var one = Time(1, a);
            var two = Time(2, a);
            best = Math.Min(best, two / one);
        }
        a.Dispose();
        Assert.InRange(best, 0, 1.35);
    }

    private static double Time(int threads, Tensor a)
    {
        var clock = Stopwatch.StartNew();
        RunOn(threads, _ => Multiply(a, Rounds));
        return clock.Elapsed.TotalSeconds;
    }

    private static void Multiply(Tensor a, int rounds)
    {
        for (var i = 0; i < rounds; i++)
        {
            using var product = a.mm(a);
        }
    }

    private static byte[] Products(int rounds, ScalarType type)
    {
        using var scope = NewDisposeScope();
        var a = arange(Width * Width, ScalarType.Float32).view(Width, Width).sin().to_type(type);
        var b = a.t().contiguous();
        for (var i = 0; i < rounds; i++)
            b = a.mm(b) * 0.05;
        return b.bytes.ToArray();
    }

    private static void RunOn(int count, Action<int> body)
    {
        var threads = Enumerable.Range(0, count).Select(i => new Thread(() => body(i))).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
    }
}
