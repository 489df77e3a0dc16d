using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace DistTune.Cluster.Tests.Memory;

/// <summary>A process whose peak of resident memory is followed until it ends; killed when the test ends before it does.</summary>
internal sealed class MeasuredProcess : IAsyncDisposable
{
    private const string Peak = "VmHWM:";
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(5);
    private readonly Process _process;
    private readonly ConcurrentQueue<string> _lines = new();

    /// <param name="project">Its project: tests and services are built side by side, artifacts/bin/[project]/[configuration]/.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="environment">Added to this process' environment.</param>
    /// <param name="executable">What the project builds, if it has another name.</param>
    public MeasuredProcess(string project, IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment, string? executable = null)
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        var start = new ProcessStartInfo(Path.Combine(folder.Parent!.Parent!.FullName, project, folder.Name, executable ?? project), arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => _lines.Enqueue(line.Data ?? "");
        _process.ErrorDataReceived += (_, line) => _lines.Enqueue(line.Data ?? "");
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>What it printed.</summary>
    public string Output => string.Join(Environment.NewLine, _lines);

    /// <summary>Waits for its end, which must be a success.</summary>
    /// <returns>The most it ever held, bytes.</returns>
    public async Task<long> PeakAsync(CancellationToken cancellationToken)
    {
        long peak = 0;
        while (!_process.HasExited)
        {
            // The system keeps the maximum, so that only what comes after the last look can be missed.
            peak = Math.Max(peak, Read());
            await Task.Delay(Interval, cancellationToken);
        }

        await _process.WaitForExitAsync(cancellationToken);
        Assert.True(_process.ExitCode == 0, Output);
        return peak;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync(CancellationToken.None);
        }

        _process.Dispose();
    }

    private long Read()
    {
        try
        {
            var line = File.ReadLines(string.Create(CultureInfo.InvariantCulture, $"/proc/{_process.Id}/status")).FirstOrDefault(line => line.StartsWith(Peak, StringComparison.Ordinal));
            return line is null ? 0 : long.Parse(line[Peak.Length..].Trim().Split(' ')[0], CultureInfo.InvariantCulture) * 1024;
        }
        catch (IOException)
        {
            // It has just ended.
            return 0;
        }
    }
}
