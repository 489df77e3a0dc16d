using DistTune.Core.Planning;
using DistTune.Engine;

namespace DistTune.Cli.Running;

/// <summary>Carries a run out in this process and writes its files.</summary>
internal static class LocalTraining
{
    /// <summary>Trains from where the run stands, measures before and after, and publishes the adapter.</summary>
    public static async Task<RunSummary> RunAsync(
        PreparedRun run, Cores cores, IRunObserver progress, TextWriter notices, TimeProvider time, CancellationToken cancellationToken)
    {
        using var store = RunStore.Open(run, time);
        foreach (var notice in store.Notices)
        {
            notices.WriteLine(notice);
        }

        using var files = new RunFiles(run, time, store.Resumed ? store.Found : null);
        await using var computers = LocalComputers.Load(run, cores);
        var observer = new CompositeRunObserver(progress, files);
        var result = await InProcessTraining.RunAsync(store, computers.Computers, observer, time, cancellationToken).ConfigureAwait(false);
        return files.Complete(result, PeakMemory.OfThisProcess());
    }
}
