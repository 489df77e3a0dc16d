using System.Collections.Immutable;
using System.Globalization;
using System.Text.RegularExpressions;

namespace DistTune.Core.Training;

/// <summary>How names select modules, as PEFT does it.</summary>
internal static class ModuleNames
{
    private const RegexOptions Options = RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture;
    private const string PatternCharacters = "*+?()[]{}|^$\\";

    // Patterns come from foreign files; one that backtracks without end must not hang a run.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Whether a text can only be meant as a regular expression: a name has none of its characters.</summary>
    public static bool IsPattern(string text) => text.AsSpan().IndexOfAny(PatternCharacters) >= 0;

    /// <summary>Whether an entry of a list is the module's name or a dotted suffix of it.</summary>
    public static bool IsSuffix(string module, string entry) =>
        module.EndsWith(entry, StringComparison.Ordinal)
        && entry.Length > 0
        && (module.Length == entry.Length || module[module.Length - entry.Length - 1] == '.');

    /// <summary>Whether a list or, if there is one, a pattern selects the module.</summary>
    public static bool Selects(ImmutableArray<string> entries, string? pattern, string module) =>
        pattern is not null ? IsWhole(pattern, module) : entries.Any(entry => IsSuffix(module, entry));

    /// <summary>Whether the pattern matches the whole name.</summary>
    /// <exception cref="DistTuneException">It is not a regular expression.</exception>
    public static bool IsWhole(string pattern, string module) => Matches($@"\A(?:{pattern})\z", pattern, module).Success;

    /// <summary>The value of the first key that matches the name's end, or null.</summary>
    public static T? FirstMatch<T>(ImmutableArray<KeyValuePair<string, T>> pattern, string module)
        where T : struct
    {
        foreach (var (key, value) in pattern)
        {
            if (Matches($@"\A(.*\.)?({key})\z", key, module).Success)
            {
                return value;
            }
        }

        return null;
    }

    /// <summary>The index that stands in the name right after one of these list names (any, if there are none), or null.</summary>
    public static int? LayerIndex(ImmutableArray<string> lists, string module)
    {
        foreach (var list in lists.IsDefaultOrEmpty ? [@"[^.]*"] : lists)
        {
            var match = Matches($@"\A.*\.{list}\.(?<index>\d+)\.", list, module);
            if (match.Success && int.TryParse(match.Groups["index"].Value, NumberStyles.None, CultureInfo.InvariantCulture, out var index))
            {
                return index;
            }
        }

        return null;
    }

    private static Match Matches(string expression, string written, string module)
    {
        try
        {
            return Regex.Match(module, expression, Options, Patience);
        }
        catch (RegexParseException error)
        {
            throw new DistTuneException(FaultKind.Configuration, $"'{written}' is not a regular expression: {error.Message} Correct the pattern.", error);
        }
        catch (RegexMatchTimeoutException error)
        {
            throw new DistTuneException(FaultKind.Configuration, $"The pattern '{written}' takes more than {Patience.TotalSeconds:0} s on '{module}'. Write a simpler one.", error);
        }
    }
}
