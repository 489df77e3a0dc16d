using System.Globalization;
using DistTune.Core.Configuration;
using DistTune.Core.Memory;
using DistTune.Core.Planning;

namespace DistTune.Cluster.Tests.Memory;

/// <summary>What the processes of a run hold at most, against what is predicted before they start.</summary>
internal static class MemoryComparison
{
    private const double Tolerance = 0.10;
    private const string Token = "token-of-the-memory-tests";
    private static readonly Dictionary<string, string> OneThreadAProduct = new() { ["OMP_NUM_THREADS"] = "1", ["OPENBLAS_NUM_THREADS"] = "1" };

    /// <summary>Trains with coordinator and worker, each a process of its own, and fails unless both peaks are within a tenth of their predictions.</summary>
    /// <param name="name">For the output.</param>
    /// <param name="family">llama or gemma2.</param>
    /// <param name="bfloat16">Whether the base is in bfloat16.</param>
    /// <param name="lanes">Threads of the worker.</param>
    /// <param name="lines">What the configuration says besides, separated by semicolons.</param>
    public static async Task HoldsAsync(string name, string family, bool bfloat16, int lanes, string lines)
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var run = new MemoryRun(family, bfloat16, steps: 2 * lanes, lines);
        var question = await AskAsync(run, lanes);
        var port = LocalCluster.FreePort().ToString(CultureInfo.InvariantCulture);
        await using var coordinator = new MeasuredProcess("DistTune.Coordinator", [run.ConfigPath], new Dictionary<string, string>
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_HTTP_PORT"] = "0",
            ["DISTTUNE_GRPC_PORT"] = port,
        });
        await using var worker = new MeasuredProcess("DistTune.Worker", [], new Dictionary<string, string>(OneThreadAProduct)
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_COORDINATOR"] = $"http://127.0.0.1:{port}",
            ["DISTTUNE_CACHE"] = run.CacheFolder,
            ["DISTTUNE_THREADS"] = lanes.ToString(CultureInfo.InvariantCulture),
        });
        var peaks = await Task.WhenAll(worker.PeakAsync(cancellation), coordinator.PeakAsync(cancellation));

        double[] shares = [Share($"{name}, worker", peaks[0], question.OfWorker), Share($"{name}, coordinator", peaks[1], question.OfCoordinator)];
        Assert.All(shares, share => Assert.InRange(share, 1 - Tolerance, 1 + Tolerance));
    }

    /// <summary>Trains in one process with one lane, and fails unless its peak is within a tenth of its prediction.</summary>
    /// <param name="name">For the output.</param>
    /// <param name="lines">What the configuration says besides, separated by semicolons.</param>
    public static async Task HoldsInOneProcessAsync(string name, string lines)
    {
        using var run = new MemoryRun("llama", bfloat16: false, steps: 2, lines);
        var question = await AskAsync(run, lanes: 1);
        await using var process = new MeasuredProcess(
            "DistTune.Cli", ["train", run.ConfigPath, "--workers", "1", "--threads-per-worker", "1"], OneThreadAProduct, executable: "disttune");
        var peak = await process.PeakAsync(TestContext.Current.CancellationToken);

        Assert.InRange(Share($"{name}, one process", peak, question), 1 - Tolerance, 1 + Tolerance);
    }

    private static async Task<MemoryQuestion> AskAsync(MemoryRun run, int lanes)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The peak of resident memory is read from /proc.");
        var planned = await RunPlanner.CreateAsync(RunConfigLoader.Load(run.ConfigPath, []), bfloat16ByDefault: false, TestContext.Current.CancellationToken);
        return MemoryQuestion.Of(planned.Spec, planned.Plan, workers: 1, lanes, withCoordinator: true);
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
