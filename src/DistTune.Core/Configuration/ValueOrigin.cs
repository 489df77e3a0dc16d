using System.Globalization;

namespace DistTune.Core.Configuration;

/// <summary>Which layer a configured value comes from; a later layer overrides an earlier one.</summary>
public enum OriginKind
{
    /// <summary>Nobody set it.</summary>
    Default,

    /// <summary>The YAML file.</summary>
    File,

    /// <summary>An environment variable.</summary>
    Environment,

    /// <summary>The command line.</summary>
    CommandLine,
}

/// <summary>Where a configured value was written.</summary>
/// <param name="Kind">The layer.</param>
/// <param name="Name">The file as the user named it, the environment variable, or the option; empty for a default.</param>
/// <param name="Line">1-based line of a file, otherwise 0.</param>
public sealed record ValueOrigin(OriginKind Kind, string Name, int Line = 0)
{
    /// <summary>Nobody set it.</summary>
    public static ValueOrigin Default { get; } = new(OriginKind.Default, "");

    /// <summary><c>run.yaml:7</c>, <c>DISTTUNE__SEED</c>, <c>--seed</c> or <c>default</c>.</summary>
    public override string ToString() => Kind switch
    {
        OriginKind.Default => "default",
        OriginKind.File => string.Create(CultureInfo.InvariantCulture, $"{Name}:{Line}"),
        _ => Name,
    };
}

/// <summary>A value given outside the file.</summary>
/// <param name="Path">Dotted key, such as <c>distributed.workers</c>.</param>
/// <param name="Value">YAML text of the value; <c>[a, b]</c> is a list.</param>
/// <param name="Origin">Where it was given.</param>
public sealed record ConfigOverride(string Path, string Value, ValueOrigin Origin)
{
    /// <summary>Prefix of environment variables that configure a run; <c>__</c> separates the parts of a key.</summary>
    public const string EnvironmentPrefix = "DISTTUNE__";

    /// <summary>The overrides in an environment: <c>DISTTUNE__LEARNING_RATE=1e-4</c>, <c>DISTTUNE__DISTRIBUTED__WORKERS=2</c>. Sorted by name.</summary>
    public static IEnumerable<ConfigOverride> FromEnvironment(IEnumerable<KeyValuePair<string, string>> environment) =>
        environment
            .Where(variable => variable.Key.StartsWith(EnvironmentPrefix, StringComparison.Ordinal))
            .OrderBy(variable => variable.Key, StringComparer.Ordinal)
            .Select(variable => new ConfigOverride(
                variable.Key[EnvironmentPrefix.Length..].Replace("__", ".", StringComparison.Ordinal).ToLowerInvariant(),
                variable.Value,
                new ValueOrigin(OriginKind.Environment, variable.Key)));

    /// <summary>An option of the command line, written <c>key=value</c>.</summary>
    /// <exception cref="DistTuneException">There is no <c>=</c>.</exception>
    public static ConfigOverride FromAssignment(string assignment)
    {
        ArgumentNullException.ThrowIfNull(assignment);
        var separator = assignment.IndexOf('=', StringComparison.Ordinal);
        return separator > 0
            ? new ConfigOverride(assignment[..separator].Trim(), assignment[(separator + 1)..], new ValueOrigin(OriginKind.CommandLine, $"--set {assignment}"))
            : throw new DistTuneException(FaultKind.Configuration, $"--set expects key=value, got '{assignment}'. Example: --set distributed.lease_seconds=60.");
    }
}
