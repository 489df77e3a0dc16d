using DistTune.Engine;

namespace DistTune.Coordinator;

/// <summary>Writes a run's files into its output folder.</summary>
internal sealed class FolderOutputs(RunFiles files) : IRunOutputs
{
    public void Observe(RunEvent runEvent) => files.Observe(runEvent);

    public void Complete(RunResult result, long peakMemoryBytes) => files.Complete(result, peakMemoryBytes);

    public void Dispose() => files.Dispose();
}
