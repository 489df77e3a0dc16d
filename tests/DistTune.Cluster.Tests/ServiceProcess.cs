using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace DistTune.Cluster.Tests;

/// <summary>A service as a process of its own. What it prints is kept; it is killed when the test ends before it does.</summary>
internal sealed class ServiceProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);
    private readonly Process _process;
    private readonly ConcurrentQueue<string> _lines = new();

    /// <param name="project">The project that was built.</param>
    /// <param name="arguments">The command line.</param>
    /// <param name="environment">Variables beside this process's own.</param>
    /// <param name="program">The program's name, where it is not the project's.</param>
    /// <param name="networkNamespace">Where it runs; null is this process's own.</param>
    public ServiceProcess(
        string project, IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment, string? program = null, string? networkNamespace = null)
    {
        // Tests and services are built side by side: artifacts/bin/<project>/<configuration>/.
        var folder = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        var path = Path.Combine(folder.Parent!.Parent!.FullName, project, folder.Name, program ?? project);

        // A shell has what it starts with '&' ignore SIGINT, and so do all descendants. `env` and `ip` become the program that they start,
        // so that their id is the service's.
        List<string> command = [path, .. arguments];
        command.InsertRange(0, OperatingSystem.IsLinux() ? ["env", "--default-signal=INT"] : []);
        command.InsertRange(0, networkNamespace is null ? [] : ["ip", "netns", "exec", networkNamespace]);
        var start = new ProcessStartInfo(command[0], command[1..]);
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        start.UseShellExecute = false;
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => Keep(line.Data);
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public string Output => string.Join(Environment.NewLine, _lines);

    /// <summary>The process's number.</summary>
    public int Id => _process.Id;

    public bool HasEnded => _process.HasExited;

    /// <summary>How many lines contain the text so far.</summary>
    public int CountOf(string text) => _lines.Count(line => line.Contains(text, StringComparison.Ordinal));

    public async Task<int> ExitCodeAsync(TimeSpan? patience = null)
    {
        var allowed = patience ?? Patience;
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        timeout.CancelAfter(allowed);
        try
        {
            await _process.WaitForExitAsync(timeout.Token);
        }
        catch (OperationCanceledException) when (!TestContext.Current.CancellationToken.IsCancellationRequested)
        {
            Assert.Fail($"It did not end within {allowed.TotalSeconds.ToString(CultureInfo.InvariantCulture)} s. It printed:{Environment.NewLine}{Output}");
        }

        return _process.ExitCode;
    }

    /// <summary>Waits until so many lines contain the text.</summary>
    public async Task PrintsAsync(string text, int times = 1)
    {
        var started = Stopwatch.GetTimestamp();
        while (CountOf(text) < times)
        {
            Assert.False(_process.HasExited, $"It ended before it printed '{text}': {Output}");
            Assert.True(Stopwatch.GetElapsedTime(started) < Patience, $"It never printed '{text}': {Output}");
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }

    public Task SignalAsync(string signal) => SignalAsync(signal, [this]);

    /// <summary>Sends a signal to several at once, as far as they are still there.</summary>
    public static async Task SignalAsync(string signal, IReadOnlyCollection<ServiceProcess> processes)
    {
        var ids = processes.Where(one => !one._process.HasExited).Select(one => one._process.Id.ToString(CultureInfo.InvariantCulture)).ToList();
        if (ids.Count == 0)
        {
            return;
        }

        using var kill = Process.Start("kill", [$"-{signal}", .. ids]);
        await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync(CancellationToken.None);
        }

        _process.Dispose();
    }

    private void Keep(string? line)
    {
        if (line is not null)
        {
            _lines.Enqueue(line);
        }
    }
}
