using DistTune.Coordinator;
using DistTune.Engine;

namespace DistTune.Cluster.Tests;

/// <summary>Keeps what a run would have written.</summary>
internal sealed class FakeOutputs(IRunObserver observer) : IRunOutputs
{
    public RunResult? Result { get; private set; }

    public long PeakMemoryBytes { get; private set; }

    public void Observe(RunEvent runEvent) => observer.Observe(runEvent);

    public void Complete(RunResult result, long peakMemoryBytes)
    {
        Result = result;
        PeakMemoryBytes = peakMemoryBytes;
    }

    public void Dispose()
    {
    }
}
