using DistTune.Core.Planning;
using DistTune.Engine;

namespace DistTune.Cli.Running;

/// <summary>Carries a run out in this process and writes its files.</summary>
internal static class LocalTraining
{
    /// <summary>Trains, measures before and after, and publishes the adapter.</summary>
    public static async Task<RunSummary> RunAsync(PreparedRun run, Cores cores, IRunObserver progress, TimeProvider time, CancellationToken cancellationToken)
    {
        using var files = new RunFiles(run, time);
        await using var computers = LocalComputers.Load(run, cores);
        var observer = new CompositeRunObserver(progress, files);
        var result = await InProcessTraining.RunAsync(run.Plan, run.InitialAdapter, computers.Computers, observer, time, cancellationToken).ConfigureAwait(false);
        return files.Complete(result, PeakMemory.OfThisProcess());
    }
}
