using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace DistTune.AppHost;

/// <summary>What to launch.</summary>
/// <param name="Workers">Number of worker processes.</param>
/// <param name="ThreadsPerWorker">Cores that each worker uses.</param>
/// <param name="CoordinatorArguments">The run's configuration file, by its full path, and everything that is not about processes.</param>
internal sealed record LaunchOptions(int Workers, int ThreadsPerWorker, string[] CoordinatorArguments)
{
    /// <summary>Exit code of a command line that cannot be understood.</summary>
    public const int FaultExitCode = 2;

    private const int DefaultWorkers = 2;
    private const int MostWorkers = 64;

    private const string Usage = """
        usage: dotnet run --project aspire/DistTune.AppHost -- RUN.yaml [--workers N] [--threads-per-worker N] [--set KEY=VALUE]...
        """;

    /// <summary>Understands the command line, or says what is wrong with it.</summary>
    /// <param name="args">The command line.</param>
    /// <param name="cores">Cores of this machine, shared out among the workers unless the command line says otherwise.</param>
    /// <param name="options">The options, if understood.</param>
    /// <param name="fault">What is wrong, otherwise.</param>
    public static bool TryParse(
        IReadOnlyList<string> args, int cores, [NotNullWhen(true)] out LaunchOptions? options, [NotNullWhen(false)] out string? fault)
    {
        options = null;
        fault = null;
        var workers = DefaultWorkers;
        int? threads = null;
        var forwarded = new List<string>();
        for (var index = 0; index < args.Count; index++)
        {
            var (name, inline) = Split(args[index]);
            if (name is not ("--workers" or "--threads-per-worker"))
            {
                forwarded.Add(args[index]);
                continue;
            }

            var text = inline ?? (index + 1 < args.Count ? args[++index] : "");
            var most = name == "--workers" ? MostWorkers : cores;
            if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number < 1 || number > most)
            {
                fault = string.Create(CultureInfo.InvariantCulture, $"{name} must be a whole number from 1 to {most}, got '{text}'.\n{Usage}");
                return false;
            }

            if (name == "--workers")
            {
                workers = number;
            }
            else
            {
                threads = number;
            }
        }

        if (forwarded.Count == 0 || forwarded[0].StartsWith('-'))
        {
            fault = $"The first argument must be the run's configuration file.\n{Usage}";
            return false;
        }

        forwarded[0] = Path.GetFullPath(forwarded[0]);
        if (!File.Exists(forwarded[0]))
        {
            fault = $"There is no file '{forwarded[0]}'. Give the path of the run's configuration file.\n{Usage}";
            return false;
        }

        // How many there should be is told first, so that the command line can still say otherwise. It never changes a result.
        forwarded.InsertRange(1, ["--set", string.Create(CultureInfo.InvariantCulture, $"distributed.workers={workers}")]);
        options = new LaunchOptions(workers, threads ?? Math.Max(1, cores / workers), [.. forwarded]);
        return true;
    }

    private static (string Name, string? Value) Split(string argument)
    {
        var equals = argument.IndexOf('=', StringComparison.Ordinal);
        return equals < 0 ? (argument, null) : (argument[..equals], argument[(equals + 1)..]);
    }
}
