using System.Text.Json;
using DistTune.Core.Models;

namespace DistTune.Cli.Benchmarking;

/// <summary>The model that is measured: the fields of a config.json, SmolLM2-135M's by default.</summary>
internal static class BenchmarkShape
{
    private const string SmolLm2 =
        """
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
          "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192,
          "rope_theta": 100000.0, "rms_norm_eps": 1e-05, "hidden_act": "silu", "tie_word_embeddings": true
        }
        """;

    /// <summary>Reads the configuration: the file's text, or the default's.</summary>
    /// <param name="path">A config.json, or null.</param>
    /// <returns>Its text, for the peer that measures the same model, and what it describes.</returns>
    public static (string Json, DecoderSpec Spec) Read(string? path)
    {
        var json = path is null ? SmolLm2 : File.ReadAllText(path);
        using var document = JsonDocument.Parse(json);
        return (json, ModelFamilies.Describe(document.RootElement, path ?? "the built-in configuration"));
    }

    /// <summary>Parameters that are multiplied for every token: linear modules and output head.</summary>
    public static long MultipliedParameters(DecoderSpec spec) =>
        spec.Linears.Where(module => module.Layer < spec.LayerCount).Sum(module => (long)module.In * module.Out) + ((long)spec.VocabularySize * spec.HiddenSize);
}
