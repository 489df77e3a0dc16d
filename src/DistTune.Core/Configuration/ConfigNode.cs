using System.Collections.Immutable;

namespace DistTune.Core.Configuration;

/// <summary>A value as written, before anyone knows what type its key wants.</summary>
internal abstract record ConfigNode(ValueOrigin Origin)
{
    /// <summary>The value in a few words, for messages.</summary>
    public abstract string Shown { get; }
}

/// <summary>A single value. <paramref name="Quoted"/> tells <c>"8"</c>, a text, from <c>8</c>.</summary>
internal sealed record ScalarNode(string Text, bool Quoted, ValueOrigin Origin) : ConfigNode(Origin)
{
    private const int ShownLength = 60;

    public bool IsNull => !Quoted && Text is "" or "~" or "null" or "Null" or "NULL";

    public override string Shown => (Quoted, Text.Length) switch
    {
        (_, > ShownLength) => $"'{Text[..ShownLength]}…'",
        (true, _) => $"the text '{Text}'",
        (false, 0) => "nothing",
        _ => Text,
    };
}

/// <summary>A list.</summary>
internal sealed record SequenceNode(ImmutableArray<ConfigNode> Items, ValueOrigin Origin) : ConfigNode(Origin)
{
    public override string Shown => Items.IsEmpty ? "an empty list" : "a list";
}

/// <summary>Keys and values in the order written.</summary>
internal sealed record MappingNode(ImmutableArray<MappingEntry> Entries, ValueOrigin Origin) : ConfigNode(Origin)
{
    public override string Shown => "a section of keys";
}

/// <summary>One key of a mapping, with the place of the key.</summary>
internal readonly record struct MappingEntry(string Key, ValueOrigin Origin, ConfigNode Value);
