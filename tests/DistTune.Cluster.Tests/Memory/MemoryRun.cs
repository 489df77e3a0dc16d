using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;
using DistTune.Core.Models;

namespace DistTune.Cluster.Tests.Memory;

/// <summary>A run over a base of noise that is large enough for its memory to be told from that of the runtime.</summary>
internal sealed class MemoryRun : IDisposable
{
    private const int Vocabulary = 32000;

    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-memory-").FullName;

    /// <param name="family">llama or gemma2.</param>
    /// <param name="bfloat16">Whether the base is in bfloat16.</param>
    /// <param name="steps">Optimizer steps.</param>
    /// <param name="lines">What the configuration says besides.</param>
    public MemoryRun(string family, bool bfloat16, int steps, string lines)
    {
        var model = Directory.CreateDirectory(Path.Combine(_folder, "base")).FullName;
        File.WriteAllText(Path.Combine(model, "config.json"), Config(family).ToJsonString());
        WriteTokenizer(model);
        WriteNoise(model, bfloat16 ? WeightType.BFloat16 : WeightType.Float32);
        File.WriteAllLines(Path.Combine(_folder, "rows.jsonl"), Enumerable.Range(0, 24).Select(Row));
        File.WriteAllText(ConfigPath, lines.Replace(";", "\n", StringComparison.Ordinal) + $"""

            base_model: base
            datasets: [{"{"}path: rows.jsonl, type: alpaca{"}"}]
            gradient_accumulation_steps: 2
            max_steps: {steps.ToString(CultureInfo.InvariantCulture)}
            learning_rate: 1e-4
            bf16: {(bfloat16 ? "true" : "false")}
            seed: 7
            save_steps: null
            output_dir: out
            """);
    }

    /// <summary>The configuration.</summary>
    public string ConfigPath => Path.Combine(_folder, "run.yaml");

    /// <summary>Where its processes cache.</summary>
    public string CacheFolder => Path.Combine(_folder, "cache");

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static JsonObject Config(string family)
    {
        var config = new JsonObject
        {
            ["vocab_size"] = Vocabulary,
            ["hidden_size"] = 768,
            ["intermediate_size"] = 2048,
            ["num_hidden_layers"] = 10,
            ["num_key_value_heads"] = 4,
            ["max_position_embeddings"] = 4096,
            ["rms_norm_eps"] = 1e-5,
            ["rope_theta"] = 10000.0,
            ["model_type"] = family,
        };
        if (family == "llama")
        {
            config["architectures"] = new JsonArray("LlamaForCausalLM");
            config["hidden_act"] = "silu";
            config["num_attention_heads"] = 12;
            config["tie_word_embeddings"] = false;
        }
        else
        {
            config["architectures"] = new JsonArray("Gemma2ForCausalLM");
            config["hidden_activation"] = "gelu_pytorch_tanh";
            config["num_attention_heads"] = 8;
            config["head_dim"] = 96;
            config["query_pre_attn_scalar"] = 96;
            config["attn_logit_softcapping"] = 50.0;
            config["final_logit_softcapping"] = 30.0;
            config["sliding_window"] = 256;
            config["tie_word_embeddings"] = true;
        }

        return config;
    }

    // The small tokenizer with names for the rest of the vocabulary, so that it fits the base.
    private static void WriteTokenizer(string model)
    {
        var golden = Path.Combine(SmallRun.RepositoryRoot(), "tests", "golden", "tokenizers", "bpe512");
        File.Copy(Path.Combine(golden, "tokenizer_config.json"), Path.Combine(model, "tokenizer_config.json"));
        var tokenizer = JsonNode.Parse(File.ReadAllText(Path.Combine(golden, "tokenizer.json")))!;
        var vocabulary = tokenizer["model"]!["vocab"]!.AsObject();
        for (var id = vocabulary.Count; id < Vocabulary; id++)
        {
            vocabulary[string.Create(CultureInfo.InvariantCulture, $"unused{id}")] = id;
        }

        File.WriteAllText(Path.Combine(model, "tokenizer.json"), tokenizer.ToJsonString());
    }

    private static void WriteNoise(string model, WeightType type)
    {
        var spec = ModelFamilies.Describe(model);
        var state = 2463534242u;
        SafetensorsWriter.Write(Path.Combine(model, WeightSources.SingleFileName), spec.Weights.Select(weight => new WeightInfo(weight.Name, type, weight.Shape)), (weight, stream) =>
        {
            var values = new float[weight.Length];
            foreach (ref var value in values.AsSpan())
            {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                value = ((state * (1f / uint.MaxValue)) - 0.5f) * 0.04f;
            }

            SafetensorsWriter.WriteValues(stream, values, type);
        });
    }

    // Longer than any sequence_len here, so that rows are cut to it.
    private static string Row(int index)
    {
        string[] words = ["the", "wheat", "field", "needs", "water", "before", "noon", "and", "soil", "keeps", "it", "until", "night", "so", "bees", "visit"];
        string Words(int first, int count) => string.Join(' ', Enumerable.Range(first, count).Select(word => words[word % words.Length]));
        return JsonSerializer.Serialize(new { instruction = Words(3 * index, 40), output = Words(5 * index, 1000) });
    }
}
