using System.Text;
using DistTune.Core.Planning;

namespace DistTune.Engine;

/// <summary>
/// Writes the files of a run as it goes on (configuration, plan, metrics, samples) and when it is complete (adapter, plot, summary): the
/// same for a run in one process and on a cluster.
/// </summary>
public sealed class RunFiles : IRunObserver, IDisposable
{
    private readonly PreparedRun _run;
    private readonly RunFolder _folder;
    private readonly StreamWriter _metrics;
    private readonly MetricsJournal _journal;
    private readonly TimeProvider _time;
    private readonly long _started;
    private readonly List<LossPoint> _training = [];
    private readonly List<LossPoint> _heldOut = [];
    private double _trainingSeconds;
    private long _tokens;
    private int _workers = 1;

    /// <summary>Makes the run's folder.</summary>
    /// <exception cref="DistTune.Core.DistTuneException">The folder cannot be written.</exception>
    public RunFiles(PreparedRun run, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(run);
        ArgumentNullException.ThrowIfNull(time);
        _run = run;
        _time = time;
        _started = time.GetTimestamp();
        _folder = RunFolder.Create(run);
        _metrics = new StreamWriter(_folder.MetricsFile, append: false, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        _journal = new MetricsJournal(_metrics);
    }

    /// <inheritdoc />
    public void Observe(RunEvent runEvent)
    {
        _journal.Observe(runEvent);
        switch (runEvent)
        {
            case StepFinished step:
                _training.Add(new LossPoint(step.Record.Step + 1, step.Record.Loss));
                _trainingSeconds += step.StepSeconds;
                _tokens += step.Record.TotalTokens;
                _workers = Math.Max(_workers, step.Workers);
                break;
            case MeasurementFinished { Record: var record }:
                if (record.Loss is { } loss)
                {
                    _heldOut.Add(new LossPoint(record.Step, loss));
                }

                _folder.AppendSamples(record.Step, _run.Answers(record.Continuations));
                break;
            default:
                break;
        }
    }

    /// <summary>Writes plot, adapter and summary of a finished run.</summary>
    /// <param name="result">What it left.</param>
    /// <param name="peakMemoryBytes">Highest resident memory, summed over its processes.</param>
    public RunSummary Complete(RunResult result, long peakMemoryBytes)
    {
        ArgumentNullException.ThrowIfNull(result);
        _folder.WriteLossPlot(_training, _heldOut);
        var figures = new RunFigures(
            _workers,
            _trainingSeconds > 0 ? _tokens / _trainingSeconds : 0,
            peakMemoryBytes,
            _time.GetElapsedTime(_started).TotalSeconds);
        return _folder.Complete(_run, result.Adapter, Measured(result.Measurements[0]), Measured(result.Measurements[^1]), figures);
    }

    /// <summary>Closes the metrics file.</summary>
    public void Dispose() => _metrics.Dispose();

    private static RunMeasurement Measured(MeasurementClosed record) => new(record.Loss, record.Continuations);
}
