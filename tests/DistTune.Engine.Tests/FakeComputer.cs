using DistTune.Core.Training;

namespace DistTune.Engine.Tests;

/// <summary>Computes a gradient that is a pure function of adapter and group, with magnitudes that make the order of addition show.</summary>
internal sealed class FakeComputer(ParameterLayout layout, int slots = 1) : IGroupComputer
{
    public int Slots => slots;

    public Func<GroupSpec, Exception?> Fault { get; init; } = _ => null;

    /// <summary>Whether the last bit of every loss is another than that of other computers.</summary>
    public bool IsOdd { get; init; }

    public static float Noise(ulong seed, ulong index)
    {
        var z = (seed * 0x9E3779B97F4A7C15) + index + 0x2545F4914F6CDD1D;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return ((z ^ (z >> 31)) >> 40) / (float)(1 << 23) - 1f;
    }

    public static GroupOutcome Compute(GroupSpec group, AdapterVersion adapter, ParameterLayout layout, Action<long, float[]> write)
    {
        var sample = (ulong)group.MicroBatches[0].Segments[0].Sample;
        var values = adapter.Values.Span;
        double loss = 0;
        foreach (var entry in layout.Entries.Reverse())
        {
            var part = new float[entry.Length];
            for (var i = 0; i < part.Length; i++)
            {
                var index = (ulong)(entry.Offset + i);
                var scale = MathF.Pow(2, (int)((sample + index) % 13) - 6);
                part[i] = (values[(int)index] - Noise(sample, index)) * scale;
                loss += part[i] * part[i];
            }

            if (group.Kind == GroupKind.Train)
            {
                write(entry.Offset, part);
            }
        }

        return group.Kind == GroupKind.Generate
            ? new GroupOutcome(0, 0, group.TotalTokens, [[(int)(loss * 1000) % 50, (int)sample]], default)
            : new GroupOutcome(loss, group.TrainedTokens, group.TotalTokens, [], default);
    }

    public Task<GroupOutcome> ComputeAsync(GroupSpec group, AdapterVersion adapter, IGradientSink sink, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (Fault(group) is { } fault)
        {
            throw fault;
        }

        var outcome = Compute(group, adapter, layout, (offset, part) => sink.Write(offset, part));
        return Task.FromResult(IsOdd ? outcome with { LossSum = Math.BitIncrement(outcome.LossSum) } : outcome);
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
