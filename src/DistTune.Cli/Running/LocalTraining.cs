using System.Text;
using DistTune.Core.Planning;
using DistTune.Engine;

namespace DistTune.Cli.Running;

/// <summary>Carries a run out in this process and writes its files.</summary>
internal static class LocalTraining
{
    /// <summary>Trains, measures before and after, and publishes the adapter.</summary>
    public static async Task<RunSummary> RunAsync(PreparedRun run, Cores cores, IRunObserver progress, TimeProvider time, CancellationToken cancellationToken)
    {
        var started = time.GetTimestamp();
        var folder = RunFolder.Create(run);
        var recorder = new RunRecorder(run, folder);
        using var metrics = new StreamWriter(folder.MetricsFile, append: false, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        await using var computers = LocalComputers.Load(run, cores);
        var observer = new CompositeRunObserver(progress, new MetricsJournal(metrics), recorder);
        var result = await InProcessTraining.RunAsync(run.Plan, run.InitialAdapter, computers.Computers, observer, time, cancellationToken).ConfigureAwait(false);
        recorder.WritePlot();
        var figures = new RunFigures(cores.Workers, recorder.TokensPerSecond, PeakMemory.OfThisProcess(), time.GetElapsedTime(started).TotalSeconds);
        return folder.Complete(run, result.Adapter, Measured(result.Measurements[0]), Measured(result.Measurements[^1]), figures);
    }

    private static RunMeasurement Measured(MeasurementClosed record) => new(record.Loss, record.Continuations);
}
