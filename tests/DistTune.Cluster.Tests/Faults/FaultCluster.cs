using System.Globalization;
using System.Security.Cryptography;
using DistTune.Cluster.Tests.Network;
using DistTune.Core.Formats;
using DistTune.Engine.Journal;

namespace DistTune.Cluster.Tests.Faults;

/// <summary>Coordinator and workers as processes over one run of thirty steps of four groups; whatever is still there is killed at the end.</summary>
internal sealed class FaultCluster : IAsyncDisposable
{
    /// <summary>Optimizer steps of the run.</summary>
    public const int Steps = 30;

    // Long enough that a fault strikes in its middle.
    private static readonly string[] Settings =
    [
        "--set", "micro_batch_size=1",
        "--set", "gradient_accumulation_steps=4",
        "--set", FormattableString.Invariant($"max_steps={Steps}"),
        "--set", "eval_samples=0",
        "--set", "save_steps=3",
        "--set", "save_total_limit=3",
    ];

    private static readonly Lazy<Task<string>> Faultless = new(RunWithoutFaultsAsync);
    private readonly List<ServiceProcess> _processes = [];
    private readonly NetworkedRun? _networked;

    /// <param name="network">Joins the processes; null is the loopback. Stays the caller's.</param>
    public FaultCluster(PacketNetwork? network = null) => _networked = network is null ? null : new NetworkedRun(Run, network);

    public SmallRun Run { get; } = new();

    public int Port { get; } = LocalCluster.FreePort();

    /// <summary>The folder of the run's files, where it is not the configuration's.</summary>
    public string? OutputFolder { get; init; }

    public string Folder => OutputFolder ?? Run.OutputFolder;

    /// <summary>SHA-256 of the adapter that one worker without faults comes to.</summary>
    public static Task<string> ExpectedAdapterAsync() => Faultless.Value;

    public ServiceProcess StartCoordinator(params string[] arguments) => StartCoordinatorWith(new Dictionary<string, string>(), arguments);

    public ServiceProcess StartCoordinatorWith(IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        string[] all = [.. Settings, .. OutputFolder is null ? [] : (string[])["--set", $"output_dir={OutputFolder}"], .. arguments];
        return Kept(_networked?.StartCoordinator(environment, all) ?? ProcessTests.StartCoordinator(Run, Port, environment, all));
    }

    public ServiceProcess StartWorker(int rank, int? port = null, int threads = 1) =>
        Kept(_networked?.StartWorker(rank, threads) ?? ProcessTests.StartWorker(port ?? Port, rank, threads, Run.CacheFolder));

    /// <summary>Starts a worker that knows only what it is told here.</summary>
    public ServiceProcess StartWorkerWith(IReadOnlyDictionary<string, string> environment) => Kept(ProcessTests.StartWorker(environment, Run.CacheFolder));

    /// <summary>Runs the command line to its end.</summary>
    public ServiceProcess StartCommand(params string[] arguments) => Kept(new ServiceProcess("DistTune.Cli", arguments, new Dictionary<string, string>(), "disttune"));

    /// <summary>Everything that the processes of this run have printed.</summary>
    public string Printed => string.Join(Environment.NewLine, _processes.Select(process => process.Output));

    /// <summary>Starts workers, and a coordinator that waits for all of them.</summary>
    public (ServiceProcess Coordinator, List<ServiceProcess> Workers) Start(int workers, params string[] arguments)
    {
        var coordinator = StartCoordinator(["--set", string.Create(CultureInfo.InvariantCulture, $"distributed.min_workers={workers}"), .. arguments]);
        return (coordinator, [.. Enumerable.Range(0, workers).Select(rank => StartWorker(rank))]);
    }

    /// <summary>
    /// Waits for a step and stops every worker there, so that what a row does next happens in mid-run, however fast the machine is.
    /// </summary>
    public static async Task HoldAtAsync(int step, ServiceProcess coordinator, IReadOnlyCollection<ServiceProcess> workers)
    {
        await coordinator.PrintsAsync(string.Create(CultureInfo.InvariantCulture, $"Step {step}/"));
        await ServiceProcess.SignalAsync("STOP", workers);
    }

    /// <summary>Lets workers that were held go on.</summary>
    public static Task LetGoAsync(IReadOnlyCollection<ServiceProcess> workers) => ServiceProcess.SignalAsync("CONT", workers);

    /// <summary>Waits until so many steps are in the journal, or the coordinator has ended.</summary>
    public async Task ReachesAsync(int step, ServiceProcess coordinator)
    {
        while (!coordinator.HasEnded && History().Run().Steps.Count < step)
        {
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Waits for the run's end and holds its adapter against the oracle's.</summary>
    public async Task EndsWithTheSameAdapterAsync(ServiceProcess coordinator)
    {
        Assert.True(await coordinator.ExitCodeAsync() == 0, coordinator.Output);
        Assert.Equal(await ExpectedAdapterAsync(), AdapterSha256());
    }

    /// <summary>The run's journal as it is now.</summary>
    public RunHistory History() => RunHistory.Read(Folder);

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            await process.DisposeAsync();
        }

        Run.Dispose();
    }

    private string AdapterSha256() => Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Path.Combine(Folder, "adapter", PeftAdapter.WeightsName))));

    private ServiceProcess Kept(ServiceProcess process)
    {
        _processes.Add(process);
        return process;
    }

    private static async Task<string> RunWithoutFaultsAsync()
    {
        await using var cluster = new FaultCluster();
        var (coordinator, _) = cluster.Start(1);
        Assert.True(await coordinator.ExitCodeAsync() == 0, coordinator.Output);
        return cluster.AdapterSha256();
    }
}
