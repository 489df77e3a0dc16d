using System.Collections.Concurrent;
using DistTune.Protocol.V1;

namespace DistTune.Worker;

/// <summary>What a worker holds beyond one connection: results that were not acknowledged, the adapter, and the lanes' vectors.</summary>
/// <param name="client">The coordinator.</param>
/// <param name="abort">Gives up everything.</param>
internal sealed class HeldWork(CoordinatorClient client, CancellationToken abort) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, ConcurrentBag<float[]>> _vectors = new(StringComparer.Ordinal);

    /// <summary>Results whose connection was lost; at most one a lane.</summary>
    public ConcurrentQueue<GroupResult> Unsent { get; } = [];

    public AdapterStore Adapters { get; } = new(client);

    public CancellationToken Abort => abort;

    /// <summary>A vector for a run's gradient. Every group writes the same tensors, so that the gaps of one that is used again are still zero.</summary>
    public float[] RentVector(RunFacts run) => _vectors.GetOrAdd(run.RunId, _ => []).TryTake(out var vector) ? vector : new float[run.LayoutLength];

    /// <summary>Gives a vector back: only after the coordinator's answer, for until then the transport may still read it.</summary>
    public void Return(string runId, float[] vector) => _vectors[runId].Add(vector);

    public async ValueTask DisposeAsync()
    {
        while (Unsent.TryDequeue(out var result))
        {
            await result.DisposeAsync();
        }
    }
}
