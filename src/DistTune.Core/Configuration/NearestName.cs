namespace DistTune.Core.Configuration;

/// <summary>Finds the name that a typo most likely meant.</summary>
public static class NearestName
{
    /// <summary>
    /// The candidate with the smallest edit distance (insert, delete, replace, swap of neighbours), or null if none is near. Case and
    /// <c>-</c> against <c>_</c> don't count; the first candidate wins a tie.
    /// </summary>
    public static string? Find(string name, IEnumerable<string> candidates)
    {
        ArgumentNullException.ThrowIfNull(name);
        var normalised = Normalise(name);
        string? best = null;
        var bestDistance = (Math.Max(3, normalised.Length) / 3) + 1;
        foreach (var candidate in candidates)
        {
            var distance = Distance(normalised, Normalise(candidate));
            if (distance < bestDistance)
            {
                (best, bestDistance) = (candidate, distance);
            }
        }

        return best;
    }

    private static string Normalise(string name) => name.Replace('-', '_').ToLowerInvariant();

    /// <summary>Optimal string alignment distance; three rows suffice because a swap looks two rows back.</summary>
    private static int Distance(string a, string b)
    {
        var (before, previous, current) = (new int[b.Length + 1], new int[b.Length + 1], new int[b.Length + 1]);
        for (var j = 0; j <= b.Length; j++)
        {
            previous[j] = j;
        }

        for (var i = 1; i <= a.Length; i++)
        {
            current[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var replace = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                current[j] = Math.Min(replace, Math.Min(previous[j], current[j - 1]) + 1);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    current[j] = Math.Min(current[j], before[j - 2] + 1);
                }
            }

            (before, previous, current) = (previous, current, before);
        }

        return previous[b.Length];
    }
}
