using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using DistTune.Cli.Running;
using DistTune.Core;

namespace DistTune.Cli.Benchmarking;

/// <summary>A coordinator or worker as a process that the benchmark kills. Its lines are kept.</summary>
internal sealed class ServiceUnderTest : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(2);
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly Process _process;

    public ServiceUnderTest(string project, IEnumerable<string> arguments, IEnumerable<KeyValuePair<string, string>> environment)
    {
        var start = new ProcessStartInfo(Repository.PathOf($"artifacts/bin/{project}/release/{project}"))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start) ?? throw new DistTuneException(FaultKind.Failed, $"{start.FileName} did not start. Build it: ./disttune setup");
        _process.OutputDataReceived += (_, line) => _lines.Enqueue(line.Data ?? string.Empty);
        _process.ErrorDataReceived += (_, line) => _lines.Enqueue(line.Data ?? string.Empty);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Lines that contain a text, so far.</summary>
    public IReadOnlyList<string> LinesWith(string text) => [.. _lines.Where(line => line.Contains(text, StringComparison.Ordinal))];

    /// <summary>Waits until so many lines contain the text.</summary>
    /// <exception cref="DistTuneException">It ended before, or took longer than any sound machine takes.</exception>
    public async Task PrintsAsync(string text, int times, CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        while (LinesWith(text).Count < times)
        {
            if (_process.HasExited || Stopwatch.GetElapsedTime(started) > Patience)
            {
                throw new DistTuneException(FaultKind.Failed, $"A process of the benchmark did not say '{text}'. It said: {string.Join(Environment.NewLine, _lines.TakeLast(20))}");
            }

            await Task.Delay(Interval, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Ends it without a word, as <c>kill -9</c> does, and waits until it is gone.</summary>
    public async Task KillAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        await _process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit();
        }

        _process.Dispose();
    }

    public override string ToString() => _process.Id.ToString(CultureInfo.InvariantCulture);
}
