using DistTune.Core.Training;

namespace DistTune.Core.Numerics;

/// <summary>
/// An adapter whose start holds a part of the base itself (PiSSA, LoftQ) as plain LoRA on the original base: A' = [A; A_0] and
/// B' = [B, -B_0], of twice the rank at the same scale.
/// </summary>
/// <param name="Layout">The tensors with twice the rank.</param>
/// <param name="Settings">The settings with twice the rank.</param>
public sealed record StartDifference(ParameterLayout Layout, AdapterSettings Settings)
{
    /// <summary>Whether a run's adapter is saved so.</summary>
    public static bool Applies(AdapterSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return settings.Start is LoraStart.Pissa or LoraStart.Loftq;
    }

    /// <summary>What the adapters of a run become.</summary>
    public static StartDifference Of(ParameterLayout layout, AdapterSettings settings)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(settings);
        var alpha = settings.RankStabilized ? Math.Sqrt(2) : 2;
        return new StartDifference(
            ParameterLayout.Create(layout.Entries.Select(entry => entry with { Shape = IsA(entry) ? [2 * entry.Shape[0], entry.Shape[1]] : IsB(entry) ? [entry.Shape[0], 2 * entry.Shape[1]] : entry.Shape })),
            settings with
            {
                Rank = 2 * settings.Rank,
                Alpha = alpha * settings.Alpha,
                RankPattern = [.. settings.RankPattern.Select(pair => KeyValuePair.Create(pair.Key, 2 * pair.Value))],
                AlphaPattern = [.. settings.AlphaPattern.Select(pair => KeyValuePair.Create(pair.Key, alpha * pair.Value))],
                Start = LoraStart.Zero,
            });
    }

    /// <summary>The difference of a trained adapter from its start.</summary>
    /// <param name="layout">The layout of both.</param>
    /// <param name="trained">The trained values.</param>
    /// <param name="initial">The values at the start.</param>
    public float[] Values(ParameterLayout layout, ReadOnlySpan<float> trained, ReadOnlySpan<float> initial)
    {
        ArgumentNullException.ThrowIfNull(layout);
        var values = new float[Layout.Length];
        foreach (var (from, to) in layout.Entries.Zip(Layout.Entries))
        {
            var into = AdapterInitialization.Slice(values, to);
            var now = Part(trained, from);
            var start = Part(initial, from);
            now.CopyTo(into);
            if (IsA(from))
            {
                start.CopyTo(into[now.Length..]);
            }
            else if (IsB(from))
            {
                Beside(now, start, into, checked((int)from.Shape[1]));
            }
        }

        return values;
    }

    private static ReadOnlySpan<float> Part(ReadOnlySpan<float> values, ParameterEntry entry) => values.Slice(checked((int)entry.Offset), checked((int)entry.Length));

    private static bool IsA(ParameterEntry entry) => entry.Name.EndsWith(AdapterLayout.SuffixA, StringComparison.Ordinal);

    private static bool IsB(ParameterEntry entry) => entry.Name.EndsWith(AdapterLayout.SuffixB, StringComparison.Ordinal);

    private static void Beside(ReadOnlySpan<float> now, ReadOnlySpan<float> start, Span<float> into, int rank)
    {
        for (var row = 0; row * rank < now.Length; row++)
        {
            now.Slice(row * rank, rank).CopyTo(into[(2 * row * rank)..]);
            for (var r = 0; r < rank; r++)
            {
                into[(2 * row * rank) + rank + r] = -start[(row * rank) + r];
            }
        }
    }
}
