using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using DistTune.Cli.Running;

namespace DistTune.Cli.Benchmarking;

/// <summary>What the peer measured.</summary>
/// <param name="TokensPerSecond">Over all its steps.</param>
/// <param name="PeakGigabytes">Its highest resident memory.</param>
/// <param name="Torch">Its version of torch.</param>
internal sealed record PeerResult(double TokensPerSecond, double PeakGigabytes, string Torch);

/// <summary>The eager PyTorch loop, run on the same machine in the same run as ours.</summary>
internal static class EagerPeer
{
    private const string ScriptVariable = "DISTTUNE_EAGER_SCRIPT";
    private const string OwnScript = "tests/DistTune.Benchmarks/eager_lora.py";

    private static readonly string[] Interpreters = ["/usr/bin/python3", "python3"];

    /// <summary>Runs it, or says why it cannot be run.</summary>
    /// <param name="options">What is measured.</param>
    /// <param name="config">config.json's text.</param>
    /// <param name="cancellationToken">Kills the peer.</param>
    public static async Task<(PeerResult? Result, string? WhyNot)> RunAsync(BenchmarkOptions options, string config, CancellationToken cancellationToken)
    {
        var script = Environment.GetEnvironmentVariable(ScriptVariable) is { Length: > 0 } given ? given : Repository.PathOf(OwnScript);
        if (await FindPythonAsync(cancellationToken).ConfigureAwait(false) is not { } python)
        {
            return (null, "no python3 with torch (Debian: apt-get install python3-torch)");
        }

        var file = Path.Combine(Path.GetTempPath(), $"disttune-bench-{Environment.ProcessId.ToString(CultureInfo.InvariantCulture)}.json");
        try
        {
            await File.WriteAllTextAsync(file, config, cancellationToken).ConfigureAwait(false);
            List<string> arguments = [script, "--config", file, "--dtype", "float32", "--batch", Number(options.Batch), "--seq", Number(options.Sequence), "--steps", Number(options.Steps), "--threads", Number(options.Threads), "--rank", Number(options.Rank)];
            if (options.Rows is { } rows)
            {
                arguments.AddRange(["--rows", Path.GetFullPath(rows)]);
            }

            if (options.Checkpointing)
            {
                arguments.Add("--checkpoint");
            }

            var (exitCode, text, problem) = await ExecuteAsync(python, arguments, cancellationToken).ConfigureAwait(false);
            return exitCode == 0 ? (Parse(text), null) : (null, $"{script} ended with exit code {Number(exitCode)}: {LastLine(problem)}");
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static PeerResult Parse(string text)
    {
        using var document = JsonDocument.Parse(LastLine(text));
        var root = document.RootElement;
        return new PeerResult(root.GetProperty("tokens_per_s").GetDouble(), root.GetProperty("peak_rss_gb").GetDouble(), root.GetProperty("torch").GetString() ?? "?");
    }

    private static async Task<string?> FindPythonAsync(CancellationToken cancellationToken)
    {
        foreach (var python in Interpreters)
        {
            try
            {
                if ((await ExecuteAsync(python, ["-c", "import torch"], cancellationToken).ConfigureAwait(false)).ExitCode == 0)
                {
                    return python;
                }
            }
            catch (System.ComponentModel.Win32Exception)
            {
                // There is no such program; the next may be there.
            }
        }

        return null;
    }

    private static async Task<(int ExitCode, string Output, string Error)> ExecuteAsync(string program, IEnumerable<string> arguments, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        // The launcher holds BLAS to one thread for us; the peer uses all of its own.
        foreach (var variable in (string[])["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"])
        {
            start.Environment.Remove(variable);
        }

        using var process = Process.Start(start)!;
        try
        {
            var (output, error) = (process.StandardOutput.ReadToEndAsync(cancellationToken), process.StandardError.ReadToEndAsync(cancellationToken));
            await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
            return (process.ExitCode, await output.ConfigureAwait(false), await error.ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }

    private static string LastLine(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries).LastOrDefault("");

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
