using System.Collections.Immutable;
using DistTune.Core.Training;

namespace DistTune.Cli.Running;

/// <summary>Computes forward-only groups with one adapter, as many at a time as there are slots; results come in the order of the groups.</summary>
internal static class GroupRunner
{
    /// <summary>Computes the groups.</summary>
    public static async Task<ImmutableArray<GroupOutcome>> RunAsync(
        IReadOnlyList<IGroupComputer> computers, ImmutableArray<GroupSpec> groups, AdapterVersion adapter, CancellationToken cancellationToken)
    {
        var outcomes = new GroupOutcome[groups.Length];
        var next = -1;
        async Task Pull(IGroupComputer computer)
        {
            for (var index = Interlocked.Increment(ref next); index < groups.Length; index = Interlocked.Increment(ref next))
            {
                outcomes[index] = await computer.ComputeAsync(groups[index], adapter, NoGradient.Instance, cancellationToken).ConfigureAwait(false);
            }
        }

        await Task.WhenAll(computers.SelectMany(computer => Enumerable.Range(0, computer.Slots).Select(_ => Pull(computer)))).ConfigureAwait(false);
        return [.. outcomes];
    }

    /// <summary>Takes no gradient, for there is none.</summary>
    internal sealed class NoGradient : IGradientSink
    {
        public static readonly NoGradient Instance = new();

        public void Write(long offset, ReadOnlySpan<float> values) => throw new InvalidOperationException("A forward pass has no gradient.");

        public void Progress()
        {
        }
    }
}
