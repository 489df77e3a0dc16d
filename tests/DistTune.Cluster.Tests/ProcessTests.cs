using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;

namespace DistTune.Cluster.Tests;

/// <summary>Coordinator and workers as processes, over a real model.</summary>
public sealed class ProcessTests
{
    internal const string Token = "token-of-the-process-tests";

    [Theory]
    [InlineData("lora", 1, 3)]
    [InlineData("lora", 2, 1)]
    [InlineData("lora", 3, 2)]
    [InlineData("qlora", 1, 1)]
    [InlineData("qlora", 2, 2)]
    public async Task The_adapter_file_is_the_same_for_any_workers_and_threads(string adapter, int workers, int threads)
    {
        var expected = await SmallRun.ExpectedAdapterAsync(adapter);
        using var run = new SmallRun(adapter);
        var port = LocalCluster.FreePort();

        // A run this short could be over before the last worker has loaded its base.
        await using var coordinator = StartCoordinator(run, port, "--set", string.Create(CultureInfo.InvariantCulture, $"distributed.min_workers={workers}"));
        var started = Enumerable.Range(0, workers).Select(rank => StartWorker(port, rank, threads, run.CacheFolder)).ToList();
        try
        {
            Assert.True(await coordinator.ExitCodeAsync() == 0, coordinator.Output);
            foreach (var worker in started)
            {
                Assert.True(await worker.ExitCodeAsync() == 0, worker.Output);
            }
        }
        finally
        {
            foreach (var worker in started)
            {
                await worker.DisposeAsync();
            }
        }

        Assert.Equal(expected, Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(run.AdapterFile, TestContext.Current.CancellationToken))));
        Assert.Equal(expected, run.SummarisedAdapter());
        Assert.DoesNotContain(Token, coordinator.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_adapter_file_is_the_same_when_a_worker_is_killed_in_mid_step()
    {
        var expected = await SmallRun.ExpectedAdapterAfterManyStepsAsync();
        using var run = new SmallRun(steps: SmallRun.ManySteps);
        var port = LocalCluster.FreePort();
        await using var coordinator = StartCoordinator(run, port);
        await using var killed = StartWorker(port, 0, 2);

        // Stopped first: the only worker, in whatever step it is, which can't end without it.
        await coordinator.PrintsAsync("Step 2/");
        await killed.SignalAsync("STOP");
        await using var survivor = StartWorker(port, 1, 1);
        await coordinator.PrintsAsync("worker-1 joined");
        await killed.SignalAsync("KILL");

        Assert.True(await coordinator.ExitCodeAsync() == 0, coordinator.Output);
        Assert.Equal(0, await survivor.ExitCodeAsync());
        Assert.Contains("worker-0 is gone", coordinator.Output, StringComparison.Ordinal);
        Assert.Equal(expected, run.SummarisedAdapter());
    }

    [Fact]
    public async Task An_interrupt_ends_all_processes_within_ten_seconds()
    {
        using var run = new SmallRun();
        var port = LocalCluster.FreePort();
        await using var coordinator = StartCoordinator(run, port, "--set", "max_steps=100000");
        await using var worker = StartWorker(port, 0, 2);
        await coordinator.PrintsAsync("Step 2/");

        var interrupted = Stopwatch.GetTimestamp();
        await Task.WhenAll(coordinator.SignalAsync("INT"), worker.SignalAsync("INT"));
        var codes = await Task.WhenAll(coordinator.ExitCodeAsync(), worker.ExitCodeAsync());

        Assert.True(Stopwatch.GetElapsedTime(interrupted) < TimeSpan.FromSeconds(10));
        Assert.True(codes is [130, 0], $"{codes[0]} {codes[1]} {coordinator.Output} {worker.Output}");
    }

    internal static ServiceProcess StartCoordinator(SmallRun run, int port, params string[] arguments) =>
        StartCoordinator(run, port, new Dictionary<string, string>(), arguments);

    internal static ServiceProcess StartCoordinator(SmallRun run, int port, IReadOnlyDictionary<string, string> environment, params string[] arguments) => new(
        "DistTune.Coordinator",
        [run.ConfigPath, .. arguments],
        new Dictionary<string, string>(environment)
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_HTTP_PORT"] = "0",
            ["DISTTUNE_GRPC_PORT"] = port.ToString(CultureInfo.InvariantCulture),
        });

    internal static ServiceProcess StartWorker(int port, int rank, int threads, string cacheFolder = "") => StartWorker(
        new Dictionary<string, string>
        {
            ["DISTTUNE_TOKEN"] = Token,
            ["DISTTUNE_COORDINATOR"] = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}"),
            ["DISTTUNE_WORKER_RANK"] = rank.ToString(CultureInfo.InvariantCulture),
            ["DISTTUNE_THREADS"] = threads.ToString(CultureInfo.InvariantCulture),
        },
        cacheFolder);

    internal static ServiceProcess StartWorker(IReadOnlyDictionary<string, string> environment, string cacheFolder) => new(
        "DistTune.Worker",
        [],
        new Dictionary<string, string>(environment)
        {
            ["DISTTUNE_CACHE"] = cacheFolder,
            ["OMP_NUM_THREADS"] = "1",
            ["OPENBLAS_NUM_THREADS"] = "1",
        });
}
