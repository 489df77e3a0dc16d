using DistTune.Core.Planning;
using DistTune.Engine;

namespace DistTune.Cli.Running;

/// <summary>Keeps of a run what its summary, samples and plot need.</summary>
/// <param name="run">The run.</param>
/// <param name="folder">Its files; null writes none.</param>
internal sealed class RunRecorder(PreparedRun run, RunFolder? folder) : IRunObserver
{
    private readonly List<LossPoint> _training = [];
    private readonly List<LossPoint> _heldOut = [];
    private double _trainingSeconds;
    private long _tokens;

    /// <summary>Tokens computed in training for each second of training.</summary>
    public double TokensPerSecond => _trainingSeconds > 0 ? _tokens / _trainingSeconds : 0;

    /// <inheritdoc />
    public void Observe(RunEvent runEvent)
    {
        switch (runEvent)
        {
            case StepFinished step:
                _training.Add(new LossPoint(step.Record.Step + 1, step.Record.Loss));
                _trainingSeconds += step.StepSeconds;
                _tokens += step.Record.TotalTokens;
                break;
            case MeasurementFinished { Record: var record }:
                if (record.Loss is { } loss)
                {
                    _heldOut.Add(new LossPoint(record.Step, loss));
                }

                folder?.AppendSamples(record.Step, run.Answers(record.Continuations));
                break;
            default:
                break;
        }
    }

    /// <summary>Draws what was seen.</summary>
    public void WritePlot() => folder?.WriteLossPlot(_training, _heldOut);
}
