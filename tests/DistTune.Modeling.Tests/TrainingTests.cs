using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;
using ScalarType = TorchSharp.torch.ScalarType;

namespace DistTune.Modeling.Tests;

public sealed class TrainingTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("llama-tiny", BasePrecision.Float32)]
    [InlineData("llama-tiny-bf16", BasePrecision.BFloat16)]
    [InlineData("llama3-tiny", BasePrecision.Float32)]
    [InlineData("phi3-longrope", BasePrecision.Float32)]
    [InlineData("mistral-tiny", BasePrecision.Float32)]
    [InlineData("qwen3-tiny", BasePrecision.Float32)]
    [InlineData("gemma2-tiny", BasePrecision.Float32)]
    [InlineData("gemma3-text-tiny", BasePrecision.Float32)]
    public async Task Recomputing_layers_gives_the_same_bits_as_keeping_them(string name, BasePrecision precision)
    {
        using var tiny = new TinyLlama(name, precision: precision);

        var kept = await tiny.ComputeAsync(tiny.UnevenGroup());
        var recomputed = await tiny.ComputeAsync(tiny.UnevenGroup(), gradientCheckpointing: true);

        Assert.Equal(kept.LossSum, recomputed.LossSum);
        Assert.Equal(kept.Gradient, recomputed.Gradient);
    }

    [Fact]
    public async Task Every_B_has_a_gradient_in_the_first_step_with_and_without_recomputation()
    {
        using var tiny = new TinyLlama();
        foreach (var checkpointing in (bool[])[false, true])
        {
            var (_, gradient) = await tiny.ComputeAsync(tiny.UnevenGroup(), tiny.Fresh, checkpointing);

            foreach (var entry in tiny.Layout.Entries.Where(entry => entry.Name.EndsWith(AdapterLayout.SuffixB, StringComparison.Ordinal)))
            {
                Assert.True(gradient.AsSpan((int)entry.Offset, (int)entry.Length).IndexOfAnyExcept(0f) >= 0, entry.Name);
            }
        }
    }

    [Fact]
    public async Task The_result_is_the_same_bits_for_any_number_of_lanes()
    {
        using var tiny = new TinyLlama();
        var groups = Enumerable.Range(0, 6).Select(index => tiny.UnevenGroup(index)).ToArray();
        var expected = await ComputeAllAsync(tiny, groups, lanes: 1);

        foreach (var lanes in (int[])[2, 3])
        {
            var actual = await ComputeAllAsync(tiny, groups, lanes);
            Assert.Equal(expected.Select(result => result.LossSum), actual.Select(result => result.LossSum));
            Assert.Equal(expected.Select(result => result.Gradient), actual.Select(result => result.Gradient));
        }
    }

    [Fact]
    public async Task Packed_segments_train_as_separate_ones()
    {
        using var tiny = new TinyLlama();
        ImmutableArray<Segment> segments = [tiny.Segment(17, 1), tiny.Segment(5, 2), tiny.Segment(9, 3)];

        var packed = await tiny.ComputeAsync(tiny.Group(0, segments));
        var separate = await tiny.ComputeAsync(tiny.Group(0, [.. segments.Select(segment => ImmutableArray.Create(segment))]));

        Assert.Equal(packed.LossSum, separate.LossSum, 1e-4);
        AssertClose(packed.Gradient, separate.Gradient);
    }

    [Fact]
    public void Packed_segments_have_the_logits_of_separate_ones()
    {
        using var tiny = new TinyLlama();
        Segment[] segments = [tiny.Segment(17, 1), tiny.Segment(5, 2)];

        var packed = ForwardDetails.Compute(tiny.Model, segments).Logits;
        var separate = segments.SelectMany(segment => ForwardDetails.Compute(tiny.Model, [segment]).Logits).ToArray();

        for (var index = 0; index < packed.Length; index++)
        {
            Assert.Equal(separate[index], packed[index], 1e-5);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Each_element_of_the_gradient_arrives_once_and_the_last_layer_first(bool checkpointing)
    {
        using var tiny = new TinyLlama();
        await using var computer = tiny.Computer(checkpointing);
        var sink = new RecordingSink(tiny.Layout);

        await computer.ComputeAsync(tiny.Group(0, [tiny.Segment(9, 1)], [tiny.Segment(7, 2)]), tiny.Trained, sink, Cancellation);

        Assert.True(sink.IsComplete);
        var layers = sink.Offsets.Select(offset => tiny.Layout.Entries.First(entry => entry.Offset == offset).Layer).ToArray();
        Assert.Equal(layers.OrderDescending(), layers);
        Assert.True(sink.ProgressCount >= 2 * tiny.Spec.LayerCount);
    }

    [Fact]
    public async Task A_group_without_a_trained_token_has_no_loss_and_a_zero_gradient()
    {
        using var tiny = new TinyLlama();
        await using var computer = tiny.Computer();
        var sink = new RecordingSink(tiny.Layout);

        var outcome = await computer.ComputeAsync(tiny.Group(0, [tiny.Segment(4, 1, prompt: 4)]), tiny.Trained, sink, Cancellation);

        Assert.Equal(0, outcome.LossSum);
        Assert.Equal(0, outcome.TrainedTokens);
        Assert.True(sink.IsComplete);
        Assert.DoesNotContain(sink.Gradient, value => value != 0);
    }

    [Fact]
    public async Task Evaluation_has_the_loss_of_training_and_no_gradient()
    {
        using var tiny = new TinyLlama();
        await using var computer = tiny.Computer();
        var sink = new RecordingSink(tiny.Layout);

        var evaluated = await computer.ComputeAsync(tiny.UnevenGroup() with { Kind = GroupKind.Evaluate }, tiny.Trained, sink, Cancellation);
        var trained = await tiny.ComputeAsync(tiny.UnevenGroup());

        Assert.Equal(trained.LossSum, evaluated.LossSum);
        Assert.Empty(sink.Offsets);
    }

    [Fact]
    public async Task Layers_below_the_first_adapter_are_not_differentiated_and_the_rest_is_exact()
    {
        var settings = new AdapterSettings(AdapterKind.Lora, 4, 8, ["layers.1.self_attn.q_proj", "layers.1.mlp.down_proj"]);
        using var high = new TinyLlama(settings: settings);
        using var all = new TinyLlama();

        var (_, gradient) = await high.ComputeAsync(high.UnevenGroup(), high.Fresh);
        var (_, reference) = await all.ComputeAsync(all.UnevenGroup(), all.Fresh);

        foreach (var entry in high.Layout.Entries.Where(entry => entry.Name.EndsWith(AdapterLayout.SuffixB, StringComparison.Ordinal)))
        {
            var same = all.Layout.Entries.Single(other => other.Name == entry.Name);
            AssertClose(gradient.AsSpan((int)entry.Offset, (int)entry.Length).ToArray(), reference.AsSpan((int)same.Offset, (int)same.Length).ToArray());
        }
    }

    [Fact]
    public async Task Frozen_weights_never_carry_a_gradient_and_never_change()
    {
        using var tiny = new TinyLlama();
        var modules = tiny.Model.Modules;
        var before = Values(modules.Head);

        await tiny.ComputeAsync(tiny.UnevenGroup());

        Assert.False(modules.Embedding.requires_grad);
        Assert.All(modules.Layers.SelectMany(layer => layer.Projections), projection => Assert.False(RequiresGradient(projection)));
        Assert.Equal(before, Values(modules.Head));

        static float[] Values(Projection projection)
        {
            using var rows = projection.Weight.RowBlock(0, projection.Weight.Rows, ScalarType.Float32);
            return HostMemory.Download(rows);
        }

        static bool RequiresGradient(Projection projection)
        {
            using var rows = projection.Weight.RowBlock(0, 1, ScalarType.Float32);
            return rows.requires_grad;
        }
    }

    [Fact]
    public async Task Cancellation_takes_effect_between_layers_and_leaves_the_lane_usable()
    {
        using var tiny = new TinyLlama();
        await using var computer = tiny.Computer();
        using var cancel = new CancellationTokenSource();
        var sink = new RecordingSink(tiny.Layout) { OnProgress = cancel.Cancel };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => computer.ComputeAsync(tiny.UnevenGroup(), tiny.Trained, sink, cancel.Token));
        Assert.Equal(1, sink.ProgressCount);

        var outcome = await computer.ComputeAsync(tiny.UnevenGroup(), tiny.Trained, new RecordingSink(tiny.Layout), Cancellation);
        Assert.True(outcome.LossSum > 0);
    }

    [Fact]
    public async Task A_segment_that_is_too_long_or_a_token_beyond_the_vocabulary_is_named_before_computing()
    {
        using var tiny = new TinyLlama();

        var tooLong = await Assert.ThrowsAsync<DistTuneException>(() => tiny.ComputeAsync(tiny.Group(0, [tiny.Segment(tiny.Spec.MaxPositions + 1, 1)])));
        Assert.Contains("128 positions", tooLong.Message, StringComparison.Ordinal);

        var foreign = new Segment([1, 512], [new LabelSpan(1, 2)], 0);
        var unknown = await Assert.ThrowsAsync<DistTuneException>(() => tiny.ComputeAsync(tiny.Group(0, [foreign])));
        Assert.Contains("token 512", unknown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Lora_on_the_output_head_and_norms_above_everything_train_alone()
    {
        var settings = new AdapterSettings(AdapterKind.Lora, 2, 4, ["lm_head"]);
        using var tiny = new TinyLlama(settings: settings);
        await using var computer = tiny.Computer();
        var sink = new RecordingSink(tiny.Layout);

        await computer.ComputeAsync(tiny.UnevenGroup(), tiny.Fresh, sink, Cancellation);

        Assert.True(sink.IsComplete);
        Assert.Contains(sink.Gradient, value => value != 0);
    }

    private static async Task<(double LossSum, float[] Gradient)[]> ComputeAllAsync(TinyLlama tiny, GroupSpec[] groups, int lanes)
    {
        await using var computer = tiny.Computer(gradientCheckpointing: true, lanes);
        Assert.Equal(lanes, computer.Slots);
        return await Task.WhenAll(groups.Select(async group =>
        {
            var sink = new RecordingSink(tiny.Layout);
            var outcome = await computer.ComputeAsync(group, tiny.Trained, sink, Cancellation);
            return (outcome.LossSum, sink.Gradient);
        }));
    }

    private static void AssertClose(float[] actual, float[] expected)
    {
        var scale = Math.Max(1, expected.Max(Math.Abs));
        for (var index = 0; index < actual.Length; index++)
        {
            Assert.Equal(expected[index], actual[index], 1e-5 * scale);
        }
    }
}
