using System.Collections.Immutable;
using System.CommandLine;
using DistTune.Core.Configuration;

namespace DistTune.Cli.Verbs;

/// <summary>An option for every single-valued key of a schema, and <c>--set</c> for the rest: the last layer of a configuration.</summary>
internal sealed class ConfigOptions
{
    private readonly ImmutableArray<(ConfigKey Key, Option<string?> Option)> _keys;
    private readonly Option<string[]> _set = new("--set") { Description = "Any key, as key=value; nested ones with dots. May be repeated.", HelpName = "KEY=VALUE" };

    public ConfigOptions(ImmutableArray<ConfigKey> schema) => _keys =
    [
        .. schema
            .Where(key => key.Kind is not (ConfigKind.Section or ConfigKind.SectionList))
            .Select(key => (key, new Option<string?>(Name(key.Name), [.. key.Aliases.Where(alias => alias.Length > 1).Select(Name)]) { Description = key.Description, HelpName = key.Kind.ToString().ToLowerInvariant(), Hidden = true })),
    ];

    /// <summary>Adds the options; those of keys are not listed in the help, which would drown in them.</summary>
    public void AddTo(Command command)
    {
        command.Add(_set);
        foreach (var (_, option) in _keys)
        {
            command.Add(option);
        }
    }

    /// <summary>The overrides of a parsed command line, after those of the environment.</summary>
    public IEnumerable<ConfigOverride> Read(ParseResult parsed)
    {
        foreach (var item in ConfigOverride.FromEnvironment(EnvironmentVariables()))
        {
            yield return item;
        }

        foreach (var (key, option) in _keys)
        {
            if (parsed.GetValue(option) is { } value)
            {
                yield return new ConfigOverride(key.Name, value, new ValueOrigin(OriginKind.CommandLine, option.Name));
            }
        }

        foreach (var assignment in parsed.GetValue(_set) ?? [])
        {
            yield return ConfigOverride.FromAssignment(assignment);
        }
    }

    private static string Name(string key) => "--" + key.Replace('_', '-');

    private static IEnumerable<KeyValuePair<string, string>> EnvironmentVariables() =>
        Environment.GetEnvironmentVariables().Cast<System.Collections.DictionaryEntry>()
            .Select(variable => KeyValuePair.Create((string)variable.Key, (string?)variable.Value ?? ""));
}
