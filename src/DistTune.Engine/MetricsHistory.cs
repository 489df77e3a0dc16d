using System.Buffers;
using System.Text;
using System.Text.Json;

namespace DistTune.Engine;

/// <summary>
/// <c>metrics.jsonl</c> of a run that goes on: what the journal says happened, each step and measurement once and in order. Lines that
/// are there stay as they were, with their times; what a crash kept from being written is written without them, what the journal does not
/// know is left out.
/// </summary>
/// <param name="Text">The file's text.</param>
/// <param name="ElapsedSeconds">Time that the run took, as far as it was written down.</param>
/// <param name="StepSeconds">Time of the steps whose times are known.</param>
/// <param name="Tokens">Tokens of those steps.</param>
internal sealed record MetricsHistory(string Text, double ElapsedSeconds, double StepSeconds, long Tokens)
{
    /// <summary>Reads the file, if it is there.</summary>
    public static MetricsHistory Read(string path, TrainingRun run, int stepsPerEpoch)
    {
        var steps = new Dictionary<int, (string Line, JsonElement Values)>();
        var measurements = new Dictionary<int, string>();
        foreach (var line in File.Exists(path) ? File.ReadLines(path) : [])
        {
            if (TryParse(line) is not { } values || !values.TryGetProperty("step", out var number) || !number.TryGetInt32(out var step))
            {
                continue;
            }

            switch (TextOf(values, "event"))
            {
                case "step" when step > 0 && step <= run.Steps.Count && TextOf(values, "adapter_sha256") == run.Steps[step - 1].AdapterSha256:
                    steps[step - 1] = (line, values);
                    break;
                case "measurement":
                    measurements[step] = line;
                    break;
            }
        }

        var text = new StringBuilder();
        var (elapsed, seconds, tokens) = (0.0, 0.0, 0L);
        var measured = run.Measurements.ToDictionary(measurement => measurement.Step);
        for (var step = 0; step <= run.Steps.Count; step++)
        {
            if (measured.TryGetValue(step, out var measurement))
            {
                text.Append(measurements.GetValueOrDefault(step) ?? Json(json => MetricsJournal.WriteMeasurement(json, measurement))).Append('\n');
            }

            if (step == run.Steps.Count)
            {
                break;
            }

            var committed = run.Steps[step];
            if (steps.TryGetValue(step, out var known))
            {
                elapsed = Math.Max(elapsed, NumberOf(known.Values, "elapsed_seconds"));
                seconds += NumberOf(known.Values, "step_seconds");
                tokens += committed.TotalTokens;
            }

            text.Append(known.Line ?? Json(json => MetricsJournal.WriteStep(json, committed, (double)(committed.Step + 1) / Math.Max(1, stepsPerEpoch)))).Append('\n');
        }

        return new MetricsHistory(text.ToString(), elapsed, seconds, tokens);
    }

    private static JsonElement? TryParse(string line)
    {
        try
        {
            return JsonElement.Parse(line) is { ValueKind: JsonValueKind.Object } values ? values : null;
        }
        catch (JsonException)
        {
            // The last line of a process that was killed.
            return null;
        }
    }

    private static string? TextOf(JsonElement values, string name) => values.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static double NumberOf(JsonElement values, string name) => values.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : 0;

    private static string Json(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }
}
