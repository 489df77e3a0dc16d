using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace DistTune.Core.Planning;

/// <summary>Writes <c>plan.json</c>: what the result depends on, for people and for comparing two runs.</summary>
public static class PlanJson
{
    private static readonly JsonWriterOptions Indented = new() { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The file's text.</summary>
    public static string Write(PreparedRun run)
    {
        ArgumentNullException.ThrowIfNull(run);
        var plan = run.Plan;
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Indented))
        {
            json.WriteStartObject();
            json.WriteString("run_id", plan.RunId);
            json.WriteString("base_model", plan.BaseModel);
            json.WriteBoolean("base_in_bfloat16", plan.BaseInBFloat16);
            json.WriteString("base_quantization", plan.Quantization?.Tag);
            json.WriteStartObject("hashes");
            json.WriteString("base", plan.Hashes.Base);
            json.WriteString("tokenizer", plan.Hashes.Tokenizer);
            json.WriteString("template", plan.Hashes.Template);
            json.WriteString("data", plan.Hashes.Data);
            json.WriteString("configuration", plan.Hashes.Configuration);
            json.WriteString("initial_adapter", run.InitialAdapter.Sha256);
            json.WriteEndObject();
            WriteAdapter(json, run);
            WriteSteps(json, run);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }

    private static void WriteAdapter(Utf8JsonWriter json, PreparedRun run)
    {
        var plan = run.Plan;
        json.WriteStartObject("adapter");
        json.WriteString("kind", plan.Adapter.Kind.ToString().ToLowerInvariant());
        json.WriteNumber("rank", plan.Adapter.Rank);
        json.WriteNumber("alpha", plan.Adapter.Alpha);
        json.WriteStartArray("target_modules");
        foreach (var target in plan.Adapter.TargetModules)
        {
            json.WriteStringValue(target);
        }

        json.WriteEndArray();
        json.WriteNumber("parameters", plan.Layout.ParameterCount);
        json.WriteNumber("base_parameters", run.BaseParameters);
        json.WriteEndObject();
    }

    private static void WriteSteps(Utf8JsonWriter json, PreparedRun run)
    {
        var (plan, config) = (run.Plan, run.Config);
        json.WriteNumber("seed", plan.Seed);
        json.WriteNumber("steps", plan.Steps);
        json.WriteNumber("steps_per_epoch", plan.StepsPerEpoch);
        json.WriteNumber("groups_per_step", config.GradientAccumulationSteps);
        json.WriteNumber("rows_per_group", config.MicroBatchSize);
        json.WriteBoolean("shuffle", config.Shuffle);
        json.WriteNumber("training_rows", run.Data.TrainingRows);
        json.WriteNumber("held_out_rows", run.Data.HeldOutRows);
        json.WriteNumber("dropped_rows", run.Data.DroppedRows);
        json.WriteNumber("truncated_rows", run.Data.TruncatedRows);
        json.WriteNumber("tokens", run.Data.Tokens);
        json.WriteNumber("trained_tokens", run.Data.TrainedTokens);
        json.WriteBoolean("gradient_checkpointing", plan.GradientCheckpointing);
        json.WriteStartObject("optimizer");
        json.WriteNumber("beta1", plan.Optimizer.Beta1);
        json.WriteNumber("beta2", plan.Optimizer.Beta2);
        json.WriteNumber("epsilon", plan.Optimizer.Epsilon);
        json.WriteNumber("weight_decay", plan.Optimizer.WeightDecay);
        json.WritePropertyName("max_grad_norm");
        if (plan.MaxGradientNorm is { } norm)
        {
            json.WriteNumberValue(norm);
        }
        else
        {
            json.WriteNullValue();
        }

        json.WriteString("schedule", plan.Schedule.Kind.ToString());
        json.WriteNumber("learning_rate", plan.Schedule.LearningRate);
        json.WriteNumber("warmup_steps", plan.Schedule.WarmupSteps);
        json.WriteEndObject();
    }
}
