using DistTune.Core.Training;

namespace DistTune.Modeling.Tests;

/// <summary>Counts every tensor of the process, so nothing else may run meanwhile.</summary>
[CollectionDefinition(nameof(LiveTensorTests), DisableParallelization = true)]
[Collection(nameof(LiveTensorTests))]
public sealed class LiveTensorTests
{
    [Theory]
    [InlineData("llama-tiny", false)]
    [InlineData("llama-tiny", true)]
    [InlineData("gemma3-text-tiny", true)]
    [InlineData("gemma2-tiny", false)]
    public async Task The_number_of_live_tensors_stays_flat_over_300_steps(string name, bool checkpointing)
    {
        using var tiny = new TinyLlama(name);
        await using var computer = tiny.Computer(checkpointing);
        var train = tiny.Group(0, [tiny.Segment(6, 1)]);
        var generate = train with { Kind = GroupKind.Generate, Generation = new GenerationSettings(2, []) };
        var counts = new List<long>();
        for (var step = 0; step < 300; step++)
        {
            var version = step % 2 == 0 ? tiny.Trained : tiny.Fresh;
            await computer.ComputeAsync(train, version, new RecordingSink(tiny.Layout), TestContext.Current.CancellationToken);
            if (step % 10 == 0)
            {
                await computer.ComputeAsync(generate, version, new RecordingSink(tiny.Layout), TestContext.Current.CancellationToken);
            }

            counts.Add(torch.Tensor.TotalCount);
        }

        Assert.Single(counts.Distinct());
    }
}
