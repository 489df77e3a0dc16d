using System.ComponentModel;
using System.Diagnostics;

namespace Aspire.Hosting.Running;

/// <summary>A resource's process: its output, its end.</summary>
internal sealed class ChildProcess
{
    /// <summary>Time between SIGTERM and SIGKILL.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(8);

    private const int LastLinesKept = 20;

    // Whoever inherited a pipe from a process that ended can hold it open for ever.
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(1);

    private readonly Process _process;
    private readonly Queue<string> _lastLines = [];

    private ChildProcess(Process process, Action<string> log)
    {
        _process = process;
        var output = PumpAsync(process.StandardOutput, log);
        var errors = PumpAsync(process.StandardError, log);
        Exited = WaitAsync(Task.WhenAll(output, errors));
    }

    /// <summary>Ends with the exit code (128 + n if signal n ended it) once the process is gone and its output is printed.</summary>
    public Task<int> Exited { get; }

    /// <summary>The last lines that it printed.</summary>
    public IReadOnlyList<string> LastLines
    {
        get
        {
            lock (_lastLines)
            {
                return [.. _lastLines];
            }
        }
    }

    /// <summary>Starts a program.</summary>
    /// <exception cref="DistributedApplicationException">It cannot be started.</exception>
    public static ChildProcess Start(
        string fileName, IEnumerable<string> arguments, string folder, IReadOnlyDictionary<string, string> environment, Action<string> log)
    {
        var start = new ProcessStartInfo(fileName, arguments)
        {
            WorkingDirectory = folder,
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        try
        {
            var process = Process.Start(start) ?? throw new DistributedApplicationException($"'{fileName}' did not start.");
            process.StandardInput.Close();
            return new ChildProcess(process, log);
        }
        catch (Win32Exception exception)
        {
            throw new DistributedApplicationException($"'{fileName}' cannot be started: {exception.Message}.", exception);
        }
    }

    /// <summary>Asks the process to end, waits <see cref="Grace"/>, then kills what is left of it and of the processes below it.</summary>
    public async Task StopAsync()
    {
        var below = ProcessTree.Below(_process.Id);
        if (!Exited.IsCompleted)
        {
            Signals.Send(_process.Id, Signals.Terminate);
            await Task.WhenAny(Exited, Task.Delay(Grace));
        }

        Kill();
        foreach (var process in below)
        {
            ProcessTree.Kill(process);
        }

        await Exited;
    }

    /// <summary>Kills the process and those below it, at once.</summary>
    public void Kill()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }
    }

    private async Task<int> WaitAsync(Task output)
    {
        await _process.WaitForExitAsync();
        await Task.WhenAny(output, Task.Delay(DrainTime));
        return _process.ExitCode;
    }

    private async Task PumpAsync(StreamReader reader, Action<string> log)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            lock (_lastLines)
            {
                if (_lastLines.Count == LastLinesKept)
                {
                    _lastLines.Dequeue();
                }

                _lastLines.Enqueue(line);
            }

            log(line);
        }
    }
}
