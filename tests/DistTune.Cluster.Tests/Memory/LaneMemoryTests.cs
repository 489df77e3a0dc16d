namespace DistTune.Cluster.Tests.Memory;

/// <summary>
/// Memory of a worker with two lanes. What is predicted is the most that both can hold: they have the cores to themselves and more groups
/// than one each, so that their peaks meet.
/// </summary>
[Collection(Name)]
public sealed class LaneMemoryTests
{
    internal const string Name = "lanes";

    [Theory]
    [Trait("Tier", "All")]
    [InlineData("fp32, two lanes", "adapter: lora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("four bits, two lanes", "adapter: qlora;sequence_len: 512;micro_batch_size: 1;generate_samples: false")]
    [InlineData("long rows, four bits, two lanes", "adapter: qlora;sequence_len: 1024;micro_batch_size: 1;generate_samples: false")]
    public Task The_peaks_of_two_lanes_are_predicted_within_a_tenth(string name, string lines) =>
        MemoryComparison.HoldsAsync(name, "llama", bfloat16: false, lanes: 2, lines);
}

/// <summary>Runs beside nothing else.</summary>
[CollectionDefinition(LaneMemoryTests.Name, DisableParallelization = true)]
public sealed class LaneMemory;
