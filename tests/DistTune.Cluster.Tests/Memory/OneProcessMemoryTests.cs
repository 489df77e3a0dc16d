namespace DistTune.Cluster.Tests.Memory;

/// <summary>Memory of <c>disttune train</c>, whose coordinator and worker are one process.</summary>
public sealed class OneProcessMemoryTests
{
    [Theory]
    [Trait("Tier", "All")]
    [InlineData("a saved module", "adapter: lora;modules_to_save: [lm_head];sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("all weights", "adapter: full;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    public Task The_peak_in_one_process_is_predicted_within_a_tenth(string name, string lines) => MemoryComparison.HoldsInOneProcessAsync(name, lines);
}
