using DistTune.Core.Training;
using DistTune.Modeling.Kernels;
using TorchSharp;

namespace DistTune.Modeling.Tests;

public sealed class DropoutTests
{
    private const ulong Seed = 11;

    private static readonly AdapterSettings Dropped = new(AdapterKind.Lora, 4, 8, ["q_proj", "v_proj", "down_proj", "lm_head"]) { Dropout = 0.25 };

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task Recomputing_layers_drops_the_same_elements(bool everywhere, bool dora)
    {
        using var tiny = new TinyLlama(settings: everywhere ? new AdapterSettings(AdapterKind.Lora, 4, 8, ["all-linear"]) { Dropout = 0.25, Dora = dora } : Dropped);

        var kept = await TrainAsync(tiny, gradientCheckpointing: false);
        var recomputed = await TrainAsync(tiny, gradientCheckpointing: true);

        Assert.Equal(kept.LossSum, recomputed.LossSum);
        Assert.Equal(kept.Gradient, recomputed.Gradient);
    }

    [Fact]
    public async Task Seed_and_step_decide_what_is_dropped()
    {
        using var tiny = new TinyLlama(settings: Dropped);

        var losses = new[] { (await TrainAsync(tiny)).LossSum, (await TrainAsync(tiny, seed: Seed + 1)).LossSum, (await TrainAsync(tiny, step: 1)).LossSum };

        Assert.Equal(3, losses.Distinct().Count());
        Assert.Equal(losses[0], (await TrainAsync(tiny)).LossSum);
    }

    [Fact]
    public async Task An_evaluation_drops_nothing()
    {
        using var tiny = new TinyLlama(settings: Dropped);
        using var plain = new TinyLlama(settings: Dropped with { Dropout = 0 });

        Assert.Equal(await EvaluateAsync(plain), await EvaluateAsync(tiny));
        Assert.NotEqual((await TrainAsync(plain)).LossSum, (await TrainAsync(tiny)).LossSum);
    }

    [Fact]
    public async Task The_gradient_is_that_of_the_loss_with_the_same_elements_dropped()
    {
        using var tiny = new TinyLlama(settings: Dropped);
        var (_, gradient) = await TrainAsync(tiny);
        var direction = gradient.Select((value, index) => value * (1 + MathF.Sin(index))).ToArray();
        var scale = (float)(0.01 / Math.Sqrt(direction.Sum(value => (double)value * value)));

        var up = await TrainAsync(tiny, version: Moved(tiny, direction, scale));
        var down = await TrainAsync(tiny, version: Moved(tiny, direction, -scale));

        var slope = gradient.Zip(direction, (g, d) => (double)g * d).Sum();
        Assert.Equal(1, (up.LossSum - down.LossSum) / (2 * scale * slope), 0.02);
    }

    [Fact]
    public void Elements_are_dropped_at_their_rate_and_the_others_scaled_up()
    {
        using var scope = torch.NewDisposeScope();
        var segment = new Segment([.. Enumerable.Repeat(1, 500)], [], 3);

        var mask = HostMemory.Download(LoraDropout.OfSegments([segment], 0.3, Seed, 5).Apply(torch.ones([500, 203]), CounterRandom.Stream("m")));

        Assert.Equal([0f, (float)(1 / 0.7)], mask.Distinct().Order());
        // Three standard deviations of 101500 draws.
        Assert.Equal(0.3, mask.Count(value => value == 0) / (double)mask.Length, 3 * Math.Sqrt(0.3 * 0.7 / mask.Length));
    }

    [Fact]
    public void What_is_dropped_of_a_sample_does_not_depend_on_what_it_is_computed_with()
    {
        using var scope = torch.NewDisposeScope();
        var first = new Segment([1, 2, 3, 4, 5], [new LabelSpan(2, 5)], 40);
        var second = new Segment([6, 7, 8], [new LabelSpan(0, 3)], 41);
        var module = CounterRandom.Stream("m");

        var together = Rows(LoraDropout.OfSegments([first, second], 0.5, Seed, 2), 8);
        var alone = Rows(LoraDropout.OfSegments([second], 0.5, Seed, 2), 3);
        var predicting = Rows(LoraDropout.OfSegments([first, second], 0.5, Seed, 2), 5);

        Assert.Equal(alone, together[5..]);
        Assert.Equal(new[] { 1, 2, 3, 5, 6 }.Select(row => together[row]), predicting);
        Assert.Equal(predicting[3..4], Rows(LoraDropout.OfSegments([first, second], 0.5, Seed, 2).Predicting(3, 1), 1));

        float[][] Rows(LoraDropout dropout, int count) => [.. HostMemory.Download(dropout.Apply(torch.ones([count, 10]), module)).Chunk(10)];
    }

    private static AdapterVersion Moved(TinyLlama tiny, float[] direction, float scale) =>
        AdapterHash.Version(tiny.Trained.Values.ToArray().Zip(direction, (value, d) => value + (scale * d)).ToArray());

    private static async Task<double> EvaluateAsync(TinyLlama tiny)
    {
        await using var computer = new TorchGroupComputer(tiny.Model, tiny.Layout, tiny.Settings, new PassSettings(false, Seed, LabelSmoothing: 0.1), lanes: 1);
        var outcome = await computer.ComputeAsync(tiny.UnevenGroup() with { Kind = GroupKind.Evaluate }, tiny.Trained, new RecordingSink(tiny.Layout), TestContext.Current.CancellationToken);
        return outcome.LossSum;
    }

    private static async Task<(double LossSum, float[] Gradient)> TrainAsync(
        TinyLlama tiny, bool gradientCheckpointing = false, ulong seed = Seed, int step = 0, AdapterVersion? version = null)
    {
        await using var computer = new TorchGroupComputer(tiny.Model, tiny.Layout, tiny.Settings, new PassSettings(gradientCheckpointing, seed), lanes: 1);
        var sink = new RecordingSink(tiny.Layout);
        var outcome = await computer.ComputeAsync(tiny.UnevenGroup() with { Step = step }, version ?? tiny.Trained, sink, TestContext.Current.CancellationToken);
        Assert.True(sink.IsComplete);
        return (outcome.LossSum, sink.Gradient);
    }
}
