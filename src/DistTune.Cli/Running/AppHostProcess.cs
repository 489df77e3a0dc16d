using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using DistTune.Core;

namespace DistTune.Cli.Running;

/// <summary>The app host as a child process: its lines are passed on, its and its children's memory is watched, and it ends with this process.</summary>
/// <param name="configuration">The run's YAML file.</param>
/// <param name="outputFolder">Folder of the run's files.</param>
/// <param name="cores">Workers and their threads.</param>
/// <param name="lines">Takes the app host's lines.</param>
internal sealed class AppHostProcess(string configuration, string outputFolder, Cores cores, TextWriter lines)
{
    private const string Program = "artifacts/bin/DistTune.AppHost/release/DistTune.AppHost";
    private const string ServerChatter = "Microsoft.Hosting.Lifetime";
    private const int Terminate = 15;

    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan TimeToStop = TimeSpan.FromSeconds(10);

    private readonly ConcurrentDictionary<int, long> _peaks = [];

    /// <summary>Highest resident memory of each process seen, summed.</summary>
    public long PeakMemoryBytes => _peaks.Values.Sum();

    /// <summary>Runs it to its end and returns its exit code; a cancelled token stops it first.</summary>
    public async Task<int> RunAsync(CancellationToken cancellationToken)
    {
        using var process = Start();
        var reading = Task.WhenAll(PassOnAsync(process.StandardOutput), PassOnAsync(process.StandardError));
        using var ended = new CancellationTokenSource();
        var watching = WatchAsync(process.Id, ended.Token);
        try
        {
            await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            await StopAsync(process).ConfigureAwait(false);
        }

        await ended.CancelAsync().ConfigureAwait(false);
        await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await reading.ConfigureAwait(false);
        return process.ExitCode;
    }

    private Process Start()
    {
        var start = new ProcessStartInfo(Repository.PathOf(Program))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        string[] arguments =
        [
            configuration,
            "--workers", cores.Workers.ToString(CultureInfo.InvariantCulture),
            "--threads-per-worker", cores.ThreadsPerWorker.ToString(CultureInfo.InvariantCulture),
            "--set", $"output_dir={outputFolder}",
        ];
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start) ?? throw new DistTuneException(FaultKind.Failed, $"{start.FileName} did not start. Build it: ./disttune setup");
    }

    private async Task PassOnAsync(StreamReader reader)
    {
        while (await reader.ReadLineAsync(CancellationToken.None).ConfigureAwait(false) is { } line)
        {
            // Which ports a server listens on and when it stops is of no use to whoever watches a run.
            if (line.Contains(ServerChatter, StringComparison.Ordinal))
            {
                continue;
            }

            lock (_peaks)
            {
                lines.WriteLine(line);
            }
        }
    }

    private async Task WatchAsync(int root, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(Interval);
        do
        {
            foreach (var id in Tree(root))
            {
                if (PeakMemory.Of(id) is { } bytes)
                {
                    _peaks[id] = bytes;
                }
            }
        }
        while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false));
    }

    private static List<int> Tree(int root)
    {
        var found = new List<int> { root };
        for (var i = 0; i < found.Count; i++)
        {
            try
            {
                // Each thread of a process lists the children that it started.
                foreach (var task in Directory.EnumerateDirectories($"/proc/{found[i].ToString(CultureInfo.InvariantCulture)}/task"))
                {
                    var children = File.ReadAllText(Path.Combine(task, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries);
                    found.AddRange(children.Select(child => int.Parse(child, CultureInfo.InvariantCulture)));
                }
            }
            catch (IOException)
            {
                // It ended between the listing and the reading.
            }
        }

        return found;
    }

    private static async Task StopAsync(Process process)
    {
        using (var kill = Process.Start("kill", [$"-{Terminate.ToString(CultureInfo.InvariantCulture)}", process.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
        }

        using var patience = new CancellationTokenSource(TimeToStop);
        try
        {
            await process.WaitForExitAsync(patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }
}
