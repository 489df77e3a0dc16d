namespace DistTune.Cluster.Tests.Memory;

/// <summary>Memory by what is trained.</summary>
public sealed class AdapterMemoryTests
{
    [Theory]
    [Trait("Tier", "All")]
    [InlineData("all tapes", "llama", false, "adapter: lora;sequence_len: 512;micro_batch_size: 1;generate_samples: false;gradient_checkpointing: false")]
    [InlineData("DoRA", "llama", false, "adapter: dora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("dropout", "llama", false, "adapter: lora;lora_dropout: 0.1;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("soft caps", "gemma2", false, "adapter: lora;sequence_len: 512;micro_batch_size: 2;generate_samples: false")]
    [InlineData("a saved module", "llama", false, "adapter: lora;modules_to_save: [lm_head];sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("all weights", "llama", false, "adapter: full;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    public Task The_peaks_with_every_kind_of_adapter_are_predicted_within_a_tenth(string name, string family, bool bfloat16, string lines) =>
        MemoryComparison.HoldsAsync(name, family, bfloat16, lanes: 1, lines);
}
