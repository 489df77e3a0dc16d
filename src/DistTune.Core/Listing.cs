namespace DistTune.Core;

/// <summary>Lists in a message what may be thousands.</summary>
internal static class Listing
{
    private const int Shown = 8;

    /// <summary>The first few, and how many more there are.</summary>
    public static string Of(IReadOnlyCollection<string> items) =>
        string.Join("; ", items.Take(Shown)) + (items.Count > Shown ? FormattableString.Invariant($"; and {items.Count - Shown} more") : "");
}
