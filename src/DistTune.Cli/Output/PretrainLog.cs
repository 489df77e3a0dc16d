using System.Globalization;
using DistTune.Core.Planning;
using DistTune.Engine;

namespace DistTune.Cli.Output;

/// <summary>The log that is kept with a base: the recipe's figures and its losses, and no times, so that the same training gives the same log.</summary>
internal sealed class PretrainLog : IRunObserver
{
    /// <summary>The file's name.</summary>
    public const string FileName = "pretrain.log";

    private readonly TextWriter _lines;
    private readonly int _loggingSteps;

    /// <summary>Writes the head of the log.</summary>
    public PretrainLog(TextWriter lines, PreparedPretraining run)
    {
        _lines = lines;
        _loggingSteps = run.Config.LoggingSteps;
        var (plan, data) = (run.Plan, run.Data);
        Line($"seed {plan.Seed}; {plan.Layout.ParameterCount} parameters; {data.TrainingRows} rows, {data.Tokens} tokens; {data.HeldOutRows} rows held out; {plan.Steps} steps, {plan.StepsPerEpoch} an epoch");
        Line($"tokenizer {plan.Hashes.Tokenizer}");
        Line($"data {plan.Hashes.Data}");
        Line($"initial weights {run.InitialWeights.Sha256}");
    }

    /// <inheritdoc />
    public void Observe(RunEvent runEvent)
    {
        switch (runEvent)
        {
            case StepFinished { Record: var record } step when (record.Step + 1) % _loggingSteps == 0 || record.Step + 1 == step.Steps:
                Line($"step {record.Step + 1}/{step.Steps} loss {record.Loss:0.0000} norm {record.GradientNorm:0.000} lr {record.LearningRate:0.000e0} tokens {step.TrainedTokensSoFar}");
                break;
            case MeasurementFinished { Record: { Loss: { } loss } record }:
                Line($"step {record.Step} held-out loss {loss:0.0000}");
                break;
            case RunEnded { AdapterSha256: var sha }:
                Line($"final weights {sha}");
                break;
            default:
                break;
        }
    }

    private void Line(FormattableString text)
    {
        _lines.Write(text.ToString(CultureInfo.InvariantCulture));
        _lines.Write('\n');
        _lines.Flush();
    }
}
