using System.Text;
using DistTune.Core;
using DistTune.Core.Formats;
using DistTune.Core.Planning;

namespace DistTune.Engine;

/// <summary>
/// Writes a run's folder: <c>metrics.jsonl</c> and <c>samples.jsonl</c> as it goes; adapter, loss plot and summary at its end. The same
/// whether the run is in one process or on a cluster.
/// </summary>
public sealed class RunFiles : IRunObserver, IDisposable
{
    private readonly PreparedRun _run;
    private readonly RunFolder _folder;
    private readonly TimeProvider _time;
    private readonly StreamWriter _lines;
    private readonly MetricsJournal _metrics;
    private readonly List<LossPoint> _training = [];
    private readonly List<LossPoint> _heldOut = [];
    private readonly HashSet<string> _workers = new(StringComparer.Ordinal);
    private readonly long _started;
    private readonly double _secondsBefore;
    private Exception? _fault;
    private double _trainingSeconds;
    private long _tokens;

    /// <summary>Makes the folder, with the resolved configuration and the plan in it.</summary>
    /// <param name="run">The run.</param>
    /// <param name="time">The clock.</param>
    /// <param name="found">Where the run stands if it had begun before: its files go on there, each step and measurement once. Null starts new ones.</param>
    /// <exception cref="DistTuneException">It cannot be written.</exception>
    public RunFiles(PreparedRun run, TimeProvider time, TrainingRun? found = null)
    {
        ArgumentNullException.ThrowIfNull(time);
        _run = run;
        _time = time;
        _started = time.GetTimestamp();
        _folder = RunFolder.Create(run, found is not null);
        if (found is not null)
        {
            var history = MetricsHistory.Read(_folder.MetricsFile, found, run.Plan.StepsPerEpoch);
            (_secondsBefore, _trainingSeconds, _tokens) = (history.ElapsedSeconds, history.StepSeconds, history.Tokens);
            AtomicFile.WriteText(_folder.MetricsFile, history.Text);
            _training.AddRange(found.Steps.Select(step => new LossPoint(step.Step + 1, step.Loss)));
            foreach (var measurement in found.Measurements)
            {
                Measured(measurement, _folder);
            }
        }

        _lines = new StreamWriter(_folder.MetricsFile, append: true, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        _metrics = new MetricsJournal(_lines, _secondsBefore);
    }

    /// <inheritdoc />
    public void Observe(RunEvent runEvent)
    {
        if (_fault is not null)
        {
            return;
        }

        try
        {
            Write(runEvent);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // Training goes on, whoever holds the disk; the run's end reports it.
            _fault = fault;
        }
    }

    /// <summary>Writes what the finished run leaves; <c>summary.json</c> last: where it is, the run is complete.</summary>
    /// <param name="result">The outcome.</param>
    /// <param name="peakMemoryBytes">Highest resident memory, summed over the run's processes.</param>
    /// <exception cref="DistTuneException">Something could not be written, now or before.</exception>
    public RunSummary Complete(RunResult result, long peakMemoryBytes)
    {
        ArgumentNullException.ThrowIfNull(result);
        if (_fault is not null)
        {
            throw new DistTuneException(FaultKind.Failed, $"The files in {_folder.FullPath} could not be written: {_fault.Message}", _fault);
        }

        _folder.WriteLossPlot(_training, _heldOut);
        var tokensPerSecond = _trainingSeconds > 0 ? _tokens / _trainingSeconds : 0;
        var figures = new RunFigures(_workers.Count, tokensPerSecond, peakMemoryBytes, _secondsBefore + _time.GetElapsedTime(_started).TotalSeconds);
        return _folder.Complete(_run, result.Adapter, Measured(result.Measurements[0]), Measured(result.Measurements[^1]), figures);
    }

    /// <summary>Closes the files.</summary>
    public void Dispose() => _lines.Dispose();

    private void Write(RunEvent runEvent)
    {
        _metrics.Observe(runEvent);
        switch (runEvent)
        {
            case StepFinished step:
                _training.Add(new LossPoint(step.Record.Step + 1, step.Record.Loss));
                _trainingSeconds += step.StepSeconds;
                _tokens += step.Record.TotalTokens;
                _workers.UnionWith(step.Groups.Select(group => group.Worker));
                break;
            case MeasurementFinished { Record: var record }:
                Measured(record, _folder);
                break;
        }
    }

    private void Measured(MeasurementClosed record, RunFolder folder)
    {
        if (record.Loss is { } loss)
        {
            _heldOut.Add(new LossPoint(record.Step, loss));
        }

        folder.AppendSamples(record.Step, _run.Answers(record.Continuations));
    }

    private static RunMeasurement Measured(MeasurementClosed record) => new(record.Loss, record.Continuations);
}
