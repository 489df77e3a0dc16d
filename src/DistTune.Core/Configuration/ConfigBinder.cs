using System.Collections.Immutable;

namespace DistTune.Core.Configuration;

/// <summary>Gives every node the type its key wants and collects all faults on the way.</summary>
/// <param name="schema">The keys of the top level.</param>
/// <param name="folder">Folder that paths in the file are relative to.</param>
/// <param name="currentFolder">Folder that paths of the environment and the command line are relative to.</param>
internal sealed class ConfigBinder(ImmutableArray<ConfigKey> schema, string folder, string currentFolder)
{
    private const int MostSuggestions = 100;
    private readonly List<ConfigurationFault> _faults = [];

    /// <summary>What was found wrong so far.</summary>
    public IReadOnlyList<ConfigurationFault> Faults => _faults;

    /// <summary>Binds the whole tree. The result is complete only if there are no faults.</summary>
    public ResolvedSection Bind(MappingNode root) => Section(root, schema, "");

    private ResolvedSection Section(MappingNode mapping, ImmutableArray<ConfigKey> keys, string prefix)
    {
        var written = new Dictionary<string, MappingEntry>(StringComparer.Ordinal);
        foreach (var entry in mapping.Entries)
        {
            var key = keys.FirstOrDefault(candidate => candidate.Answers(entry.Key));
            if (key is null)
            {
                Unknown(entry, keys, prefix);
            }
            else if (!written.TryAdd(key.Name, entry))
            {
                var first = written[key.Name];
                var also = string.Equals(first.Key, entry.Key, StringComparison.Ordinal) ? "" : $" ('{first.Key}' and '{entry.Key}' are the same key)";
                Add(entry.Origin, $"{prefix}{entry.Key} is set twice, first at {first.Origin}{also}. Keep one of them.");
            }
        }

        return new ResolvedSection([.. keys.Select(key => Value(key, written.TryGetValue(key.Name, out var entry) ? entry : null, mapping.Origin, prefix))]);
    }

    private ResolvedValue Value(ConfigKey key, MappingEntry? entry, ValueOrigin sectionOrigin, string prefix)
    {
        if (entry is not { } written)
        {
            if (key.Required)
            {
                Add(sectionOrigin, $"{prefix}{key.Name} is missing; it expects {key.Expected}. {key.Description}");
            }

            var implied = key.Kind switch
            {
                ConfigKind.Section => Section(new MappingNode([], sectionOrigin), key.Keys, $"{prefix}{key.Name}."),
                ConfigKind.SectionList => ImmutableArray<ResolvedSection>.Empty,
                ConfigKind.TextList or ConfigKind.PathList => key.Default ?? ImmutableArray<string>.Empty,
                ConfigKind.IntegerList => ImmutableArray<long>.Empty,
                ConfigKind.NumberMap => ImmutableArray<KeyValuePair<string, double>>.Empty,
                _ => key.Default,
            };
            return new ResolvedValue(key, implied, ValueOrigin.Default);
        }

        var path = prefix + key.Name;
        var value = Convert(key, written.Value, path);
        if (value is not Invalid && key.NotYet?.Invoke(value) is { } reason)
        {
            Add(written.Value.Origin, $"{path}: {written.Value.Shown} is not supported yet. {reason}");
        }

        return new ResolvedValue(key, value is Invalid ? null : value, written.Origin);
    }

    private object? Convert(ConfigKey key, ConfigNode node, string path)
    {
        if (node is ScalarNode scalar)
        {
            if (scalar.IsNull && key.Kind is not (ConfigKind.Section or ConfigKind.SectionList))
            {
                return key.Nullable ? null : Wrong(key, node, path);
            }

            if (key.Word is { } word && string.Equals(scalar.Text, word, StringComparison.Ordinal))
            {
                return key.Kind is ConfigKind.TextList or ConfigKind.PathList ? ImmutableArray.Create(word) : word;
            }
        }

        return (key.Kind, node) switch
        {
            (ConfigKind.Text, ScalarNode text) => text.Text,
            (ConfigKind.Path, ScalarNode text) => FullPath(key, text, path),
            (ConfigKind.Integer or ConfigKind.Number or ConfigKind.Boolean or ConfigKind.Choice, ScalarNode text) => Single(key, text, path),
            (ConfigKind.TextList or ConfigKind.PathList, _) => List(key, node, path),
            (ConfigKind.IntegerList, _) => Integers(key, node, path),
            (ConfigKind.NumberMap, MappingNode map) => Numbers(key, map, path),
            (ConfigKind.Section, MappingNode section) => Section(section, key.Keys, path + "."),
            (ConfigKind.SectionList, SequenceNode list) => Sections(key, list, path),
            _ => Wrong(key, node, path),
        };
    }

    private object Single(ConfigKey key, ScalarNode scalar, string path)
    {
        var value = scalar.Quoted && key.Kind is not ConfigKind.Choice ? null : ScalarText.Read(key, scalar.Text);
        return value ?? Wrong(key, scalar, path, scalar.Quoted && ScalarText.Read(key, scalar.Text) is not null ? " Remove the quotes." : "");
    }

    private object List(ConfigKey key, ConfigNode node, string path)
    {
        var items = node switch
        {
            SequenceNode list => list.Items,
            ScalarNode single => [single],
            _ => default,
        };
        if (items.IsDefault || items.Any(item => item is not ScalarNode { IsNull: false }))
        {
            return Wrong(key, node, path);
        }

        var values = items.Cast<ScalarNode>().Select(item => key.Kind is ConfigKind.PathList ? FullPath(key, item, path) : item.Text).ToList();
        return values.Contains(Invalid.Value) ? Invalid.Value : values.Cast<string>().ToImmutableArray();
    }

    private object Integers(ConfigKey key, ConfigNode node, string path)
    {
        var items = node switch
        {
            SequenceNode list => list.Items,
            ScalarNode single => [single],
            _ => default,
        };
        if (items.IsDefault)
        {
            return Wrong(key, node, path);
        }

        var values = items.Select(item => item is ScalarNode { Quoted: false } scalar ? ScalarText.Read(key, scalar.Text) : null).ToArray();
        return Array.TrueForAll(values, value => value is not null) ? values.Cast<long>().ToImmutableArray() : Wrong(key, items[Array.IndexOf(values, null)], path);
    }

    private object Numbers(ConfigKey key, MappingNode map, string path)
    {
        var values = ImmutableArray.CreateBuilder<KeyValuePair<string, double>>();
        foreach (var entry in map.Entries)
        {
            if (entry.Value is not ScalarNode { Quoted: false } scalar || ScalarText.Read(key, scalar.Text) is not double number)
            {
                Add(entry.Value.Origin, $"{path}.{entry.Key} must be {key.Expected}, got {entry.Value.Shown}.");
                return Invalid.Value;
            }

            values.Add(new(entry.Key, number));
        }

        return values.ToImmutable();
    }

    private object Sections(ConfigKey key, SequenceNode list, string path)
    {
        var sections = ImmutableArray.CreateBuilder<ResolvedSection>();
        for (var i = 0; i < list.Items.Length; i++)
        {
            if (list.Items[i] is not MappingNode section)
            {
                return Wrong(key, list.Items[i], path);
            }

            sections.Add(Section(section, key.Keys, $"{path}[{i}]."));
        }

        return sections.ToImmutable();
    }

    private object FullPath(ConfigKey key, ScalarNode scalar, string path)
    {
        if (scalar.Text.Length == 0 || scalar.Text.Contains('\0', StringComparison.Ordinal))
        {
            return Wrong(key, scalar, path);
        }

        if (scalar.Text.Contains("://", StringComparison.Ordinal))
        {
            return Wrong(key, scalar, path, " Addresses are not fetched: download it and name the file or folder.");
        }

        return Path.GetFullPath(scalar.Text, scalar.Origin.Kind is OriginKind.File ? folder : currentFolder);
    }

    private Invalid Wrong(ConfigKey key, ConfigNode node, string path, string cure = "")
    {
        Add(node.Origin, $"{path} must be {key.Expected}, got {node.Shown}.{cure}");
        return Invalid.Value;
    }

    private void Unknown(MappingEntry entry, ImmutableArray<ConfigKey> keys, string prefix)
    {
        // Nobody reads that many suggestions, and each takes a search.
        if (_faults.Count >= MostSuggestions)
        {
            Add(entry.Origin, $"unknown key '{prefix}{entry.Key}' with the value {entry.Value.Shown}.");
            return;
        }

        var nearest = NearestName.Find(entry.Key, keys.SelectMany(key => key.Aliases.Prepend(key.Name)));
        var elsewhere = Elsewhere(entry.Key, schema, "");
        var hint = nearest is not null
            ? $"the nearest key is {prefix}{nearest}, which expects {keys.First(key => key.Answers(nearest)).Expected}."
            : elsewhere is not null
                ? $"the nearest key is {elsewhere}."
                : prefix.Length > 0
                    ? $"the keys here are {string.Join(", ", keys.Select(key => key.Name))}."
                    : "no key is near it; `disttune inspect config --keys` lists all keys.";
        Add(entry.Origin, $"unknown key '{prefix}{entry.Key}' with the value {entry.Value.Shown}; {hint}");
    }

    /// <summary>The dotted path of a key of this name anywhere in the schema.</summary>
    private static string? Elsewhere(string name, ImmutableArray<ConfigKey> keys, string prefix)
    {
        foreach (var key in keys)
        {
            if (key.Answers(name))
            {
                return prefix + key.Name;
            }

            if (!key.Keys.IsEmpty && Elsewhere(name, key.Keys, $"{prefix}{key.Name}.") is { } found)
            {
                return found;
            }
        }

        return null;
    }

    private void Add(ValueOrigin origin, string message) => _faults.Add(new ConfigurationFault(origin, message));

    /// <summary>Stands for a value that was refused; the fault is already in the list.</summary>
    private sealed class Invalid
    {
        public static readonly Invalid Value = new();
    }
}
