using DistTune.Core;
using DistTune.Core.Configuration;

namespace DistTune.Coordinator;

/// <summary>The command line: <c>run.yaml [--set key=value]… [--key value]…</c>.</summary>
internal static class CommandLineOverrides
{
    private const string Usage = "Usage: RUN.yaml [--set KEY=VALUE]... [--KEY VALUE]...";

    /// <exception cref="DistTuneException">It cannot be understood.</exception>
    public static (string Path, IReadOnlyList<ConfigOverride> Overrides) Parse(IReadOnlyList<string> args)
    {
        if (args.Count == 0 || args[0].StartsWith('-'))
        {
            throw new DistTuneException(FaultKind.Configuration, $"The first argument must be the run's configuration file, got '{(args.Count == 0 ? "" : args[0])}'. {Usage}");
        }

        var overrides = new List<ConfigOverride>();
        for (var index = 1; index < args.Count; index++)
        {
            if (!args[index].StartsWith("--", StringComparison.Ordinal))
            {
                throw new DistTuneException(FaultKind.Configuration, $"'{args[index]}' is not expected. {Usage}");
            }

            var (name, inline) = Split(args[index][2..]);
            var value = inline ?? (++index < args.Count
                ? args[index]
                : throw new DistTuneException(FaultKind.Configuration, $"--{name} needs a value. {Usage}"));
            overrides.Add(name == "set"
                ? ConfigOverride.FromAssignment(value)
                : new ConfigOverride(name.Replace('-', '_'), value, new ValueOrigin(OriginKind.CommandLine, "--" + name)));
        }

        return (args[0], overrides);
    }

    private static (string Name, string? Value) Split(string argument)
    {
        var equals = argument.IndexOf('=', StringComparison.Ordinal);
        return equals < 0 ? (argument, null) : (argument[..equals], argument[(equals + 1)..]);
    }
}
