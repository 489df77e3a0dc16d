namespace DistTune.Cli.Benchmarking;

/// <summary>What a run of the fault benchmark trains. Both adapters have about 10 M parameters.</summary>
/// <param name="Description">For people.</param>
/// <param name="Config">The base's config.json.</param>
/// <param name="Yaml">The run's configuration.</param>
/// <param name="WordsOfAnAnswer">Words of an answer.</param>
internal sealed record FaultRunShape(string Description, string Config, string Yaml, int WordsOfAnAnswer)
{
    /// <summary>Short steps, so that faults fall into many of them.</summary>
    public static FaultRunShape Small { get; } = new(
        "27 M-parameter base of random weights, LoRA r 128, steps of 4 short rows",
        """
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 512, "intermediate_size": 1536,
          "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 512,
          "rope_theta": 10000.0, "rms_norm_eps": 1e-05, "hidden_act": "silu", "tie_word_embeddings": true
        }
        """,
        """
        base_model: base
        lora_r: 128
        lora_alpha: 128
        datasets: [{path: rows.jsonl, type: alpaca}]
        sequence_len: 256
        micro_batch_size: 1
        gradient_accumulation_steps: 4
        max_steps: 100000
        learning_rate: 1e-4
        save_steps: 20
        save_total_limit: 2
        bf16: false
        generate_samples: false
        output_dir: out
        """,
        WordsOfAnAnswer: 24);

    /// <summary>A step as the defaults make it: 4 groups of 2 rows, here of 256 tokens each.</summary>
    public static FaultRunShape Usual { get; } = new(
        "SmolLM2-135M's layers with random weights, LoRA r 32, steps of 4 groups of 2 rows of 256 tokens",
        """
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 576, "intermediate_size": 1536,
          "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 512,
          "rope_theta": 100000.0, "rms_norm_eps": 1e-05, "hidden_act": "silu", "tie_word_embeddings": true
        }
        """,
        """
        base_model: base
        lora_r: 32
        lora_alpha: 32
        datasets: [{path: rows.jsonl, type: alpaca}]
        sequence_len: 256
        max_steps: 100000
        learning_rate: 1e-4
        bf16: false
        generate_samples: false
        output_dir: out
        """,
        WordsOfAnAnswer: 150);
}
