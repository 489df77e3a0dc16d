namespace DistTune.Cluster.Tests.Memory;

/// <summary>Memory by how the base is held, and by how long rows and answers are.</summary>
public sealed class BaseMemoryTests
{
    [Theory]
    [Trait("Tier", "All")]
    [InlineData("fp32", "llama", false, "adapter: lora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("bf16", "llama", true, "adapter: lora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("four bits, made first", "llama", false, "adapter: qlora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("long rows", "llama", false, "adapter: lora;sequence_len: 1024;micro_batch_size: 1;generate_samples: false")]
    [InlineData("long rows, four bits", "llama", false, "adapter: qlora;sequence_len: 1024;micro_batch_size: 1;generate_samples: false")]
    [InlineData("answers", "llama", false, "adapter: lora;sequence_len: 512;micro_batch_size: 1;val_set_size: 4;max_new_tokens: 64")]
    public Task The_peaks_over_every_kind_of_base_are_predicted_within_a_tenth(string name, string family, bool bfloat16, string lines) =>
        MemoryComparison.HoldsAsync(name, family, bfloat16, lanes: 1, lines);
}
