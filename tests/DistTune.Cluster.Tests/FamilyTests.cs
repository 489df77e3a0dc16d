using DistTune.Core.Training;
using DistTune.Goldens.Support;

namespace DistTune.Cluster.Tests;

/// <summary>Each model family trained through a coordinator and two workers, over the real computers.</summary>
public sealed class FamilyTests
{
    [Theory]
    [InlineData("llama3-tiny")]
    [InlineData("llama-linear-rope")]
    [InlineData("llama-dynamic-rope")]
    [InlineData("llama-yarn-rope")]
    [InlineData("mistral-tiny")]
    [InlineData("phi3-tiny")]
    [InlineData("phi3-longrope")]
    [InlineData("qwen2-tiny")]
    [InlineData("qwen3-tiny")]
    [InlineData("gemma2-tiny")]
    [InlineData("gemma3-text-tiny")]
    public async Task Two_workers_train_the_adapter_of_one(string model)
    {
        var settings = new AdapterSettings(AdapterKind.Lora, 4, 8, [AdapterLayout.AllLinear]);
        var training = await TinyTraining.CreateAsync(model, settings, gradientCheckpointing: true, TestContext.Current.CancellationToken);
        var alone = await training.TrainInProcessAsync(TestContext.Current.CancellationToken);

        var together = await training.TrainThroughClusterAsync(workers: 2);

        SupportLog.AddWorkers(training.ModelFolder, $"{nameof(FamilyTests)}.{model}", alone.Adapter.Sha256 == together.Adapter.Sha256);
        Assert.Equal(alone.Adapter.Sha256, together.Adapter.Sha256);
        Assert.NotEqual(training.Initial.Sha256, together.Adapter.Sha256);
        Assert.Equal(alone.Measurements.Select(measurement => measurement.Loss), together.Measurements.Select(measurement => measurement.Loss));
        Assert.Equal(
            alone.Measurements.SelectMany(measurement => measurement.Continuations.SelectMany(tokens => tokens)),
            together.Measurements.SelectMany(measurement => measurement.Continuations.SelectMany(tokens => tokens)));
        Assert.True(together.Measurements[^1].Loss < together.Measurements[0].Loss);
    }
}
