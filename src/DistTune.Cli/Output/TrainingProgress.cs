using System.Globalization;
using DistTune.Engine;

namespace DistTune.Cli.Output;

/// <summary>
/// The progress of a run: one line that is rewritten on a terminal, one plain line a logging step elsewhere, so that a log says at any
/// time how the run stands.
/// </summary>
/// <param name="writer">Where to.</param>
/// <param name="loggingSteps">Report every so many steps.</param>
internal sealed class TrainingProgress(TextWriter writer, int loggingSteps) : IRunObserver
{
    private const string EraseLine = "\r\u001b[K";

    private readonly bool _rewrites = Consoles.IsTerminal(writer);
    private bool _lineIsOpen;

    /// <inheritdoc />
    public void Observe(RunEvent runEvent)
    {
        switch (runEvent)
        {
            case RunStarted { ResumedAt: { } taken } started:
                Line(Text($"The run goes on after step {taken} of {started.Steps}"), keep: true);
                break;
            case StepFinished step when (step.Record.Step + 1) % loggingSteps == 0 || step.Record.Step + 1 == step.Steps:
                Line(StepLine.Describe(step), keep: !_rewrites || step.Record.Step + 1 == step.Steps);
                break;
            case MeasurementFinished { Record: { Loss: { } loss } record }:
                Line(Text($"step {record.Step}  held-out loss {loss:0.0000} over {record.TrainedTokens} tokens"), keep: true);
                break;
            case WorkerLeft left:
                Line(Text($"worker {left.Worker} left ({left.Reason}); {left.GroupsRequeued} groups given out again"), keep: true);
                break;
            case ResultRefused refused:
                Line(Text($"a result of {refused.Worker} for {refused.Group} was refused: {refused.Verdict}"), keep: true);
                break;
            case RunEnded when _lineIsOpen:
                Line("", keep: true);
                break;
            default:
                break;
        }
    }

    private void Line(string text, bool keep)
    {
        if (_rewrites)
        {
            writer.Write(EraseLine);
        }

        writer.Write(text);
        _lineIsOpen = !keep;
        if (keep && text.Length > 0)
        {
            writer.Write('\n');
        }

        writer.Flush();
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
