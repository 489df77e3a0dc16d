using System.Buffers;
using System.Text;
using System.Text.Json;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <summary>Writes <c>metrics.jsonl</c>: one JSON object a step, a measurement and the end, in the order they happen.</summary>
/// <param name="lines">Takes the lines; each is flushed. Stays the caller's.</param>
/// <param name="secondsBefore">Time that the run took before this process went on with it.</param>
public sealed class MetricsJournal(TextWriter lines, double secondsBefore = 0) : IRunObserver
{
    /// <summary>The file's usual name.</summary>
    public const string FileName = "metrics.jsonl";

    private readonly ArrayBufferWriter<byte> _buffer = new();

    /// <inheritdoc />
    public void Observe(RunEvent runEvent)
    {
        Action<Utf8JsonWriter>? write = runEvent switch
        {
            StepFinished step => json => WriteTimedStep(json, step),
            MeasurementFinished measurement => json => WriteTimedMeasurement(json, measurement),
            RunEnded ended => json => WriteEnd(json, ended),
            _ => null,
        };
        if (write is null)
        {
            return;
        }

        _buffer.ResetWrittenCount();
        using (var json = new Utf8JsonWriter(_buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        lines.Write(Encoding.UTF8.GetString(_buffer.WrittenSpan));
        lines.Write('\n');
        lines.Flush();
    }

    internal static void WriteStep(Utf8JsonWriter json, StepCommitted step, double epoch)
    {
        json.WriteString("event", "step");
        json.WriteNumber("step", step.Step + 1);
        json.WriteNumber("epoch", epoch);
        json.WriteNumber("loss", step.Loss);
        json.WriteNumber("grad_norm", step.GradientNorm);
        json.WriteNumber("learning_rate", step.LearningRate);
        json.WriteNumber("trained_tokens", step.TrainedTokens);
        json.WriteNumber("total_tokens", step.TotalTokens);
        json.WriteString("adapter_sha256", step.AdapterSha256);
    }

    internal static void WriteMeasurement(Utf8JsonWriter json, MeasurementClosed measurement)
    {
        json.WriteString("event", "measurement");
        json.WriteNumber("step", measurement.Step);
        if (measurement.Loss is { } loss)
        {
            json.WriteNumber("eval_loss", loss);
        }

        json.WriteNumber("eval_tokens", measurement.TrainedTokens);
        json.WriteNumber("continuations", measurement.Continuations.Length);
    }

    private void WriteTimedStep(Utf8JsonWriter json, StepFinished step)
    {
        WriteStep(json, step.Record, step.Epoch);
        json.WriteNumber("workers", step.Workers);
        json.WriteNumber("step_seconds", step.StepSeconds);
        json.WriteNumber("reduce_seconds", step.ReduceSeconds);
        json.WriteNumber("optimizer_seconds", step.OptimizerSeconds);
        json.WriteNumber("durability_seconds", step.DurabilitySeconds);
        json.WriteNumber("elapsed_seconds", secondsBefore + step.ElapsedSeconds);
    }

    private static void WriteTimedMeasurement(Utf8JsonWriter json, MeasurementFinished measurement)
    {
        WriteMeasurement(json, measurement.Record);
        json.WriteNumber("seconds", measurement.Seconds);
    }

    private static void WriteEnd(Utf8JsonWriter json, RunEnded ended)
    {
        json.WriteString("event", ended.State == RunState.Finished ? "finished" : "failed");
        json.WriteString("adapter_sha256", ended.AdapterSha256);
        if (ended.Failure is { } failure)
        {
            json.WriteString("failure", failure);
        }
    }
}
