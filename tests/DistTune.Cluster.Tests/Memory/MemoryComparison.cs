using System.Globalization;
using DistTune.Core.Configuration;
using DistTune.Core.Memory;
using DistTune.Core.Planning;

namespace DistTune.Cluster.Tests.Memory;

/// <summary>What coordinator and worker hold at most, each a process of its own, against what is predicted before they start.</summary>
internal static class MemoryComparison
{
    private const double Tolerance = 0.10;
    private const string Token = "token-of-the-memory-tests";

    /// <summary>Trains, and fails unless both peaks are within a tenth of their predictions.</summary>
    /// <param name="name">For the output.</param>
    /// <param name="family">llama or gemma2.</param>
    /// <param name="bfloat16">Whether the base is in bfloat16.</param>
    /// <param name="lanes">Threads of the worker.</param>
    /// <param name="lines">What the configuration says besides, separated by semicolons.</param>
    public static async Task HoldsAsync(string name, string family, bool bfloat16, int lanes, string lines)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The peak of resident memory is read from /proc.");
        var cancellation = TestContext.Current.CancellationToken;
        using var run = new MemoryRun(family, bfloat16, steps: 2 * lanes, lines);
        var planned = await RunPlanner.CreateAsync(RunConfigLoader.Load(run.ConfigPath, []), bfloat16ByDefault: false, cancellation);
        var question = MemoryQuestion.Of(planned.Spec, planned.Plan, workers: 1, lanes, withCoordinator: true);

        var port = LocalCluster.FreePort().ToString(CultureInfo.InvariantCulture);
        await using var coordinator = new MeasuredProcess("DistTune.Coordinator", [run.ConfigPath], new Dictionary<string, string>
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_HTTP_PORT"] = "0",
            ["DISTTUNE_GRPC_PORT"] = port,
        });
        await using var worker = new MeasuredProcess("DistTune.Worker", [], new Dictionary<string, string>
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_COORDINATOR"] = $"http://127.0.0.1:{port}",
            ["DISTTUNE_CACHE"] = run.CacheFolder,
            ["DISTTUNE_THREADS"] = lanes.ToString(CultureInfo.InvariantCulture),
            ["OMP_NUM_THREADS"] = "1",
            ["OPENBLAS_NUM_THREADS"] = "1",
        });
        var peaks = await Task.WhenAll(worker.PeakAsync(cancellation), coordinator.PeakAsync(cancellation));

        double[] shares = [Share($"{name}, worker", peaks[0], question.OfWorker), Share($"{name}, coordinator", peaks[1], question.OfCoordinator)];
        Assert.All(shares, share => Assert.InRange(share, 1 - Tolerance, 1 + Tolerance));
    }

    private static double Share(string name, long measured, MemoryQuestion question)
    {
        var predicted = MemoryPredictor.Predict(question);
        var share = (double)measured / predicted.Bytes;
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant(
            $"{name}: measured {measured >> 20} MiB, predicted {predicted.Bytes >> 20} MiB, {share:0.000} ({string.Join(", ", predicted.Parts.Select(part => $"{part.Name} {part.Bytes >> 20}"))})"));
        return share;
    }
}
