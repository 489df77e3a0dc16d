using System.Collections.Immutable;
using System.Globalization;

namespace DistTune.Core.Configuration;

/// <summary>Type of a key's value.</summary>
public enum ConfigKind
{
    /// <summary>A text.</summary>
    Text,

    /// <summary>A path; relative ones are relative to the file that names them, or to the current folder outside a file.</summary>
    Path,

    /// <summary>A whole number.</summary>
    Integer,

    /// <summary>A number; <c>2e-5</c> is one.</summary>
    Number,

    /// <summary>true or false.</summary>
    Boolean,

    /// <summary>One of <see cref="ConfigKey.Choices"/>.</summary>
    Choice,

    /// <summary>A list of texts; a single text is a list of one.</summary>
    TextList,

    /// <summary>A list of whole numbers; a single one is a list of one.</summary>
    IntegerList,

    /// <summary>Numbers by names of the user's own, in the order written.</summary>
    NumberMap,

    /// <summary>A list of paths; a single path is a list of one.</summary>
    PathList,

    /// <summary>A section with <see cref="ConfigKey.Keys"/>.</summary>
    Section,

    /// <summary>A list of sections with <see cref="ConfigKey.Keys"/>.</summary>
    SectionList,
}

/// <summary>All there is to say about one key: the table of these is the configuration's schema.</summary>
/// <param name="Name">The key, in snake case.</param>
/// <param name="Kind">Type of the value.</param>
/// <param name="Description">One sentence for people.</param>
public sealed record ConfigKey(string Name, ConfigKind Kind, string Description)
{
    /// <summary>Other names for the same key.</summary>
    public ImmutableArray<string> Aliases { get; init; } = [];

    /// <summary>
    /// The value if nobody sets one: null, string, long, double, bool, or an immutable array of strings. A section's default comes from its keys.
    /// </summary>
    public object? Default { get; init; }

    /// <summary>Whether the key must be set.</summary>
    public bool Required { get; init; }

    /// <summary>Whether <c>null</c> may be written.</summary>
    public bool Nullable { get; init; }

    /// <summary>Smallest number.</summary>
    public double Minimum { get; init; } = double.NegativeInfinity;

    /// <summary>Largest number.</summary>
    public double Maximum { get; init; } = double.PositiveInfinity;

    /// <summary>Whether <see cref="Minimum"/> itself is out.</summary>
    public bool AboveMinimum { get; init; }

    /// <summary>The values of a <see cref="ConfigKind.Choice"/>.</summary>
    public ImmutableArray<string> Choices { get; init; } = [];

    /// <summary>A word that is accepted besides the kind, such as <c>auto</c>; it is kept as a text.</summary>
    public string? Word { get; init; }

    /// <summary>The keys of a section.</summary>
    public ImmutableArray<ConfigKey> Keys { get; init; } = [];

    /// <summary>
    /// Says why a valid value cannot be honoured yet, or null if it can. A value that would be ignored is refused: never silently wrong.
    /// </summary>
    public Func<object?, string?>? NotYet { get; init; }

    /// <summary>What a value must look like, for messages.</summary>
    public string Expected
    {
        get
        {
            var kind = Kind switch
            {
                ConfigKind.Text => "a text",
                ConfigKind.Path => "a path",
                ConfigKind.Integer => "a whole number" + Range,
                ConfigKind.Number => "a number" + Range,
                ConfigKind.Boolean => "true or false",
                ConfigKind.Choice => "one of " + string.Join(", ", Choices),
                ConfigKind.TextList => "a list of texts",
                ConfigKind.IntegerList => "a list of whole numbers" + Range,
                ConfigKind.NumberMap => "names with numbers" + Range,
                ConfigKind.PathList => "a path or a list of paths",
                ConfigKind.Section => "a section with the keys " + string.Join(", ", Keys.Select(key => key.Name)),
                _ => "a list of sections with the keys " + string.Join(", ", Keys.Select(key => key.Name)),
            };
            return kind + (Word is null ? "" : $" or {Word}") + (Nullable ? " or null" : "");
        }
    }

    private string Range => (double.IsFinite(Minimum), double.IsFinite(Maximum), AboveMinimum) switch
    {
        (true, true, false) => string.Create(CultureInfo.InvariantCulture, $" in {Minimum}..{Maximum}"),
        (true, true, true) => string.Create(CultureInfo.InvariantCulture, $" above {Minimum} and up to {Maximum}"),
        (true, false, false) => string.Create(CultureInfo.InvariantCulture, $" of at least {Minimum}"),
        (true, false, true) => string.Create(CultureInfo.InvariantCulture, $" above {Minimum}"),
        _ => "",
    };

    internal bool Answers(string name) => string.Equals(Name, name, StringComparison.Ordinal) || Aliases.Contains(name, StringComparer.Ordinal);
}
