using System.Collections.Immutable;
using System.Diagnostics;

namespace DistTune.Core.Configuration;

/// <summary>A key's value after all layers, and who set it.</summary>
/// <param name="Key">The key.</param>
/// <param name="Value">
/// null, string, long, double, bool, an immutable array of strings, of longs or of named doubles, a <see cref="ResolvedSection"/> or an immutable array of them.
/// </param>
/// <param name="Origin">Where it was written.</param>
public sealed record ResolvedValue(ConfigKey Key, object? Value, ValueOrigin Origin);

/// <summary>Every key of a section with its value and origin, defaults included, in the order of the schema.</summary>
/// <param name="Values">The values.</param>
public sealed record ResolvedSection(ImmutableArray<ResolvedValue> Values)
{
    /// <summary>The value of a key of this section.</summary>
    public ResolvedValue this[string name]
    {
        get
        {
            foreach (var value in Values)
            {
                if (string.Equals(value.Key.Name, name, StringComparison.Ordinal))
                {
                    return value;
                }
            }

            throw new UnreachableException($"The schema has no key '{name}' here.");
        }
    }

    /// <summary>Whether somebody set the key.</summary>
    public bool IsSet(string name) => this[name].Origin.Kind is not OriginKind.Default;

    internal string Text(string name) => (string)this[name].Value!;

    internal string? OptionalText(string name) => this[name].Value as string;

    internal int Integer(string name) => checked((int)(long)this[name].Value!);

    internal int? OptionalInteger(string name) => this[name].Value is long value ? checked((int)value) : null;

    internal double Number(string name) => (double)this[name].Value!;

    internal double? OptionalNumber(string name) => this[name].Value as double?;

    internal bool Flag(string name) => (bool)this[name].Value!;

    internal bool? OptionalFlag(string name) => this[name].Value as bool?;

    internal ImmutableArray<string> Texts(string name) => (ImmutableArray<string>)this[name].Value!;

    internal ImmutableArray<long> Integers(string name) => (ImmutableArray<long>)this[name].Value!;

    internal ImmutableArray<KeyValuePair<string, double>> Numbers(string name) => (ImmutableArray<KeyValuePair<string, double>>)this[name].Value!;

    internal ResolvedSection Section(string name) => (ResolvedSection)this[name].Value!;

    internal ImmutableArray<ResolvedSection> Sections(string name) => (ImmutableArray<ResolvedSection>)this[name].Value!;
}
