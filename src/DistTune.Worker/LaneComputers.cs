using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Protocol;
using DistTune.Protocol.V1;
using Grant = DistTune.Protocol.V1.Grant;
using GroupKind = DistTune.Core.Training.GroupKind;

namespace DistTune.Worker;

/// <summary>The runs that this worker computes for, and how it computes a grant.</summary>
internal sealed class LaneComputers(IComputerSource computers, IReadOnlyDictionary<string, RunFacts> runs, int rank)
{
    /// <summary>The run of a grant.</summary>
    /// <exception cref="DistTuneException">It is not known here.</exception>
    public RunFacts RunOf(GrantReference reference) => runs.TryGetValue(reference.RunId, out var facts)
        ? facts
        : throw new DistTuneException(FaultKind.Stale, $"Run {reference.RunId} came after this worker joined.");

    /// <summary>Computes a grant, within a span of its step's trace, and gives the adapter back.</summary>
    public async Task<GroupOutcome> ComputeAsync(Grant grant, RentedAdapter adapter, IGradientSink sink, CancellationToken cancellationToken)
    {
        using var rented = adapter;
        var reference = TrainingMapping.ToReference(grant.Reference);
        var name = reference.Group.Kind == GroupKind.Train ? "forward_backward" : "forward";
        using var span = WorkerTelemetry.Start(name, grant.TraceParent, reference, rank);
        return await computers.ComputerFor(RunOf(reference)).ComputeAsync(TrainingMapping.ToGroup(grant), adapter.Version, sink, cancellationToken);
    }
}
