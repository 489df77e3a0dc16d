using System.Diagnostics;
using TorchSharp;

namespace DistTune.Cli.Benchmarking;

/// <summary>The matrix-multiply rate that this machine reaches: single-threaded products on every lane at once, as training runs them.</summary>
internal static class MatrixPeak
{
    private const int Rows = 1024;
    private const int Products = 8;
    private const int Rounds = 5;

    /// <summary>Best of some rounds, in FLOP/s over all lanes.</summary>
    /// <param name="width">Width of the residual stream.</param>
    /// <param name="inner">Width of the feed-forward block.</param>
    /// <param name="lanes">Lanes that multiply at the same time.</param>
    public static double Measure(int width, int inner, int lanes)
    {
        var best = 0.0;
        for (var round = 0; round < Rounds; round++)
        {
            using var start = new Barrier(lanes);
            var seconds = new double[lanes];
            var threads = Enumerable.Range(0, lanes).Select(lane => new Thread(() => seconds[lane] = Lane(width, inner, start))).ToArray();
            foreach (var thread in threads)
            {
                thread.Start();
            }

            foreach (var thread in threads)
            {
                thread.Join();
            }

            best = Math.Max(best, seconds.Sum(time => 2.0 * Rows * width * inner * Products / time));
        }

        return best;
    }

    private static double Lane(int width, int inner, Barrier start)
    {
        torch.set_num_threads(1);
        using var scope = torch.NewDisposeScope();
        var left = torch.ones([Rows, width], dtype: torch.ScalarType.Float32);
        var right = torch.ones([width, inner], dtype: torch.ScalarType.Float32);
        start.SignalAndWait();
        var began = Stopwatch.GetTimestamp();
        for (var i = 0; i < Products; i++)
        {
            using var product = torch.mm(left, right);
        }

        return Stopwatch.GetElapsedTime(began).TotalSeconds;
    }
}
