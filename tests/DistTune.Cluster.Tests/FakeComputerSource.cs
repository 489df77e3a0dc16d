using DistTune.Core.Training;
using DistTune.Engine.Tests;
using DistTune.Protocol.V1;
using DistTune.Worker;
using GroupSpec = DistTune.Core.Training.GroupSpec;

namespace DistTune.Cluster.Tests;

/// <summary>Computers that need no model.</summary>
internal sealed class FakeComputerSource(int slots) : IComputerSource
{
    public string Library { get; init; } = "fake 1";

    public ParameterLayout Layout { get; init; } = FakePlan.Create().Layout;

    /// <summary>Whether the last bit of every loss is another than that of other workers.</summary>
    public bool IsOdd { get; init; }

    /// <summary>Awaited before a group is computed: a test stops the worker here.</summary>
    public Func<GroupSpec, CancellationToken, Task> Before { get; init; } = (_, _) => Task.CompletedTask;

    /// <summary>Awaited while the base is loaded.</summary>
    public Func<Task> Loading { get; init; } = () => Task.CompletedTask;

    public async Task<string> LoadBaseAsync(RunFacts run, CancellationToken cancellationToken)
    {
        await Loading();
        return run.BaseSha256;
    }

    public IGroupComputer ComputerFor(RunFacts run) => new Gated(new FakeComputer(Layout, slots) { IsOdd = IsOdd }, Before);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private sealed class Gated(FakeComputer inner, Func<GroupSpec, CancellationToken, Task> before) : IGroupComputer
    {
        public int Slots => inner.Slots;

        public async Task<GroupOutcome> ComputeAsync(GroupSpec group, AdapterVersion adapter, IGradientSink sink, CancellationToken cancellationToken)
        {
            await before(group, cancellationToken);
            return await inner.ComputeAsync(group, adapter, sink, cancellationToken);
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
