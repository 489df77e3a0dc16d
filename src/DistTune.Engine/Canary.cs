using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>
/// A small group that no run has, computed with an adapter that no run has. What it comes to shows whether a worker computes the same
/// bits as the others, before it computes anything that counts.
/// </summary>
public static class Canary
{
    // Two segments, neither of a round length: attention within segments, and rows that fill no block.
    private static readonly ImmutableArray<int> Lengths = [19, 45];
    private static readonly ulong TokenStream = CounterRandom.Stream("canary.tokens");
    private static readonly ulong AdapterStream = CounterRandom.Stream("canary.adapter");

    // Samples of a data set are numbered from 0, and their dropout with them.
    private const long FirstSample = 1L << 40;
    private const float Magnitude = 0.05f;

    /// <summary>The adapter of every canary.</summary>
    /// <param name="values">As long as the run's flat vector; overwritten.</param>
    public static AdapterVersion Adapter(float[] values)
    {
        ArgumentNullException.ThrowIfNull(values);
        Fill(values);
        return AdapterHash.Version(values);
    }

    /// <summary>Computes a run's canary: one forward and backward over 64 tokens.</summary>
    /// <param name="computer">The run's computer.</param>
    /// <param name="runId">The run.</param>
    /// <param name="vocabularySize">Number of the base's token ids.</param>
    /// <param name="adapter">See <see cref="Adapter"/>.</param>
    /// <param name="gradient">As long as the run's flat vector; overwritten with what the canary comes to.</param>
    /// <param name="cancellationToken">Stops the computation.</param>
    /// <returns>The digest (<see cref="ResultDigest"/>) of what it comes to.</returns>
    public static async Task<string> ComputeAsync(
        IGroupComputer computer, string runId, int vocabularySize, AdapterVersion adapter, float[] gradient, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(computer);
        ArgumentNullException.ThrowIfNull(adapter);
        ArgumentNullException.ThrowIfNull(gradient);
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabularySize, 1);

        // Between the tensors nobody writes, and the digest covers that too.
        Array.Clear(gradient);
        var outcome = await computer.ComputeAsync(Group(runId, vocabularySize), adapter, new VectorSink(gradient), cancellationToken).ConfigureAwait(false);
        return ResultDigest.Of(outcome, GradientHash.Of(gradient));
    }

    private static GroupSpec Group(string runId, int vocabularySize) =>
        new(runId, int.MaxValue, 0, GroupKind.Train, [new MicroBatch([.. Lengths.Select((length, index) => Segment(length, index, vocabularySize))])]);

    private static Segment Segment(int length, int index, int vocabularySize) => new(
        [.. Enumerable.Range(0, length).Select(position => (int)(CounterRandom.Hash((ulong)index, TokenStream, (ulong)position) % (ulong)vocabularySize))],
        [new LabelSpan(1, length)],
        FirstSample + index);

    // Not zero anywhere, so that no factor hides what the other one does; small, so that all stays finite whatever the values stand for.
    private static void Fill(float[] values)
    {
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)((2 * CounterRandom.Uniform(0, AdapterStream, (ulong)i)) - 1) * Magnitude;
        }
    }

    private sealed class VectorSink(float[] values) : IGradientSink
    {
        public void Write(long offset, ReadOnlySpan<float> part) => part.CopyTo(values.AsSpan(checked((int)offset), part.Length));

        public void Progress()
        {
            // Nobody holds a lease on it.
        }
    }
}
