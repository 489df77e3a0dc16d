using System.Collections.Immutable;

namespace DistTune.Core.Configuration;

/// <summary>Lays environment and command line over the file's tree.</summary>
internal static class ConfigLayers
{
    /// <summary>Returns <paramref name="root"/> with the value at the override's path replaced or added; its keys may be aliases.</summary>
    public static MappingNode Apply(MappingNode root, ConfigOverride value, ImmutableArray<ConfigKey> keys)
    {
        var node = YamlText.Parse(value.Value, value.Origin);
        if (node is MappingNode { Entries.IsEmpty: true })
        {
            node = new ScalarNode("", false, value.Origin);
        }

        return Put(root, value.Path.Split('.'), node, value.Origin, keys);
    }

    private static MappingNode Put(MappingNode mapping, ReadOnlySpan<string> path, ConfigNode value, ValueOrigin origin, ImmutableArray<ConfigKey> keys)
    {
        var name = path[0].Trim().Replace('-', '_');
        var key = keys.FirstOrDefault(candidate => candidate.Answers(name));
        var index = -1;
        for (var i = 0; i < mapping.Entries.Length && index < 0; i++)
        {
            var written = mapping.Entries[i].Key;
            index = string.Equals(written, name, StringComparison.Ordinal) || key?.Answers(written) == true ? i : -1;
        }

        if (path.Length > 1)
        {
            var inner = index >= 0 && mapping.Entries[index].Value is MappingNode section ? section : new MappingNode([], origin);
            value = Put(inner, path[1..], value, origin, key?.Keys ?? []);
        }

        var entry = new MappingEntry(name, origin, value);
        return mapping with { Entries = index < 0 ? mapping.Entries.Add(entry) : mapping.Entries.SetItem(index, entry) };
    }
}
