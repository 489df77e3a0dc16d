using DistTune.Engine;

namespace DistTune.Coordinator;

/// <summary>Where a run's files go. Sees its events as they happen.</summary>
internal interface IRunOutputs : IRunObserver, IDisposable
{
    /// <summary>Writes what a finished run leaves.</summary>
    /// <param name="result">The outcome.</param>
    /// <param name="peakMemoryBytes">Highest resident memory, summed over coordinator and workers.</param>
    void Complete(RunResult result, long peakMemoryBytes);
}
