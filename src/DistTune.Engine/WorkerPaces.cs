using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>
/// How long each worker usually needs for a token, by kind of group: a moving average on the monotonic clock. It decides who is given
/// what and when a group is overdue; no result depends on it. Not thread-safe; the run's gate guards it.
/// </summary>
internal sealed class WorkerPaces
{
    private const double NewestShare = 0.3;
    private const double KeptDistance = 0.8;
    private readonly Dictionary<(string Worker, GroupKind Kind), double> _secondsPerToken = [];

    /// <summary>A worker needed so long for a group.</summary>
    public void Measure(string worker, GroupSpec group, TimeSpan taken)
    {
        var seconds = taken.TotalSeconds / Tokens(group);
        _secondsPerToken[(worker, group.Kind)] = _secondsPerToken.TryGetValue((worker, group.Kind), out var before)
            ? before + (NewestShare * (seconds - before))
            : seconds;
    }

    /// <summary>What a worker usually needs for such a group; null if it has not computed any yet.</summary>
    public TimeSpan? Of(string worker, GroupSpec group) =>
        _secondsPerToken.TryGetValue((worker, group.Kind), out var seconds) ? TimeSpan.FromSeconds(seconds * Tokens(group)) : null;

    /// <summary>What a worker, or failing that the median of all, usually needs for such a group; null if nobody has computed any yet.</summary>
    public TimeSpan? Expect(string worker, GroupSpec group) =>
        Of(worker, group) ?? (Median(group.Kind) is { } seconds ? TimeSpan.FromSeconds(seconds * Tokens(group)) : null);

    /// <summary>A worker got no group of a stage. What was measured of it is believed a little less, so that one bad hour does not count for ever.</summary>
    public void Doubt(string worker, GroupKind kind)
    {
        if (_secondsPerToken.TryGetValue((worker, kind), out var seconds) && Median(kind) is { } median && seconds > median)
        {
            _secondsPerToken[(worker, kind)] = median + (KeptDistance * (seconds - median));
        }
    }

    private double? Median(GroupKind kind)
    {
        double[] paces = [.. _secondsPerToken.Where(pair => pair.Key.Kind == kind).Select(pair => pair.Value).Order()];
        return paces.Length == 0 ? null : paces[(paces.Length - 1) / 2];
    }

    private static long Tokens(GroupSpec group) =>
        Math.Max(1, group.TotalTokens + ((group.Generation?.MaxNewTokens ?? 0L) * group.MicroBatches.Sum(batch => batch.Segments.Length)));
}
