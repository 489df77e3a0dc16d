using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>
/// Which rows each optimizer step computes, group by group: a pure function of a few numbers. As in transformers' Trainer, the last batch
/// of an epoch may be smaller and the last step of an epoch may have fewer groups; no step crosses an epoch.
/// </summary>
public sealed class StepPlan
{
    private readonly ulong _seed;
    private readonly bool _shuffle;
    private EpochOrder? _latest;

    private StepPlan(int rows, int microBatchSize, int groupsPerStep, int steps, ulong seed, bool shuffle)
    {
        Rows = rows;
        MicroBatchSize = microBatchSize;
        GroupsPerStep = groupsPerStep;
        StepsPerEpoch = StepsOfAnEpoch(rows, microBatchSize, groupsPerStep);
        Steps = steps;
        _seed = seed;
        _shuffle = shuffle;
    }

    /// <summary>Number of training rows.</summary>
    public int Rows { get; }

    /// <summary>Rows of a group.</summary>
    public int MicroBatchSize { get; }

    /// <summary>Groups of a step.</summary>
    public int GroupsPerStep { get; }

    /// <summary>Steps of one pass over the rows.</summary>
    public int StepsPerEpoch { get; }

    /// <summary>Steps of the run.</summary>
    public int Steps { get; }

    /// <summary>Lays out a run.</summary>
    /// <param name="rows">Number of training rows, at least one.</param>
    /// <param name="microBatchSize">Rows of a group.</param>
    /// <param name="groupsPerStep">Groups of a step (gradient accumulation steps).</param>
    /// <param name="epochs">Passes over the rows; a fraction is rounded up to a whole step.</param>
    /// <param name="maxSteps">Number of steps instead; null leaves it to <paramref name="epochs"/>.</param>
    /// <param name="seed">Seed of the orders.</param>
    /// <param name="shuffle">Whether each epoch has an order of its own.</param>
    public static StepPlan Create(int rows, int microBatchSize, int groupsPerStep, double epochs, int? maxSteps, ulong seed, bool shuffle)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(microBatchSize);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groupsPerStep);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(epochs);
        var steps = maxSteps ?? checked((int)Math.Ceiling(epochs * StepsOfAnEpoch(rows, microBatchSize, groupsPerStep)));
        return new StepPlan(rows, microBatchSize, groupsPerStep, steps, seed, shuffle);
    }

    /// <summary>The rows of each group of a step, groups in order. Every group has at least one row.</summary>
    public ImmutableArray<ImmutableArray<int>> RowsOf(int step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(step, Steps);
        var order = OrderOf(step / StepsPerEpoch);
        var first = checked(step % StepsPerEpoch * MicroBatchSize * GroupsPerStep);
        var groups = ImmutableArray.CreateBuilder<ImmutableArray<int>>(GroupsPerStep);
        for (var start = first; start < Rows && groups.Count < GroupsPerStep; start += MicroBatchSize)
        {
            var count = Math.Min(MicroBatchSize, Rows - start);
            groups.Add(order is null ? [.. Enumerable.Range(start, count)] : ImmutableArray.Create(order, start, count));
        }

        return groups.ToImmutable();
    }

    // Steps come in order, so one remembered epoch is enough; a race only computes the same order twice.
    private int[]? OrderOf(int epoch)
    {
        if (!_shuffle)
        {
            return null;
        }

        if (Volatile.Read(ref _latest) is { } latest && latest.Epoch == epoch)
        {
            return latest.Order;
        }

        var order = CounterRandom.Permutation(_seed, CounterRandom.Stream(FormattableString.Invariant($"order of epoch {epoch}")), Rows);
        Volatile.Write(ref _latest, new EpochOrder(epoch, order));
        return order;
    }

    private static int StepsOfAnEpoch(int rows, int microBatchSize, int groupsPerStep)
    {
        var batches = (rows + (long)microBatchSize - 1) / microBatchSize;
        return checked((int)((batches + groupsPerStep - 1) / groupsPerStep));
    }

    private sealed record EpochOrder(int Epoch, int[] Order);
}
