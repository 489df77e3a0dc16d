using System.Collections.Immutable;
using DistTune.Core.Training;
using DistTune.Modeling.Generation;

namespace DistTune.Modeling.Tests;

public sealed class GenerationTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void Greedy_takes_the_first_of_the_largest_logits()
    {
        var sampler = new TokenSampler(new GenerationSettings(1, []));

        Assert.Equal(1, sampler.Next([0, 3, 3, -1], sample: 0, position: 0));
    }

    [Fact]
    public void A_nucleus_holds_the_fewest_likeliest_tokens_that_reach_its_mass()
    {
        var sampler = new TokenSampler(new GenerationSettings(1, [], Temperature: 1, TopP: 0.6, Seed: 5));
        float[] logits = [MathF.Log(0.1f), MathF.Log(0.5f), MathF.Log(0.25f), MathF.Log(0.15f)];

        var drawn = Enumerable.Range(0, 2000).Select(position => sampler.Next(logits, 3, position)).ToArray();

        Assert.Equal([1, 2], drawn.Distinct().Order());
        Assert.Equal(2.0 / 3, drawn.Count(token => token == 1) / 2000.0, 0.03);
    }

    [Fact]
    public void Temperature_sharpens_and_flattens()
    {
        float[] logits = [0, 1];
        double Share(double temperature)
        {
            var sampler = new TokenSampler(new GenerationSettings(1, [], temperature, Seed: 9));
            return Enumerable.Range(0, 4000).Count(position => sampler.Next(logits, 1, position) == 1) / 4000.0;
        }

        Assert.Equal(1 / (1 + Math.Exp(-1 / 0.5)), Share(0.5), 0.03);
        Assert.Equal(1 / (1 + Math.Exp(-1 / 2.0)), Share(2), 0.03);
    }

    [Fact]
    public async Task Sampling_depends_on_seed_and_sample_alone()
    {
        using var tiny = new TinyLlama();
        var settings = new GenerationSettings(12, [], Temperature: 1, TopP: 0.95, Seed: 1);

        var together = await GenerateAsync(tiny, settings, tiny.Segment(5, 1), tiny.Segment(8, 2));
        var again = await GenerateAsync(tiny, settings, tiny.Segment(5, 1), tiny.Segment(8, 2));
        var alone = await GenerateAsync(tiny, settings, tiny.Segment(8, 2));
        var other = await GenerateAsync(tiny, settings with { Seed = 2 }, tiny.Segment(8, 2));

        Assert.Equal(together, again, SequencesEqual);
        Assert.Equal(together[1], alone[0]);
        Assert.NotEqual(alone[0], other[0]);
    }

    [Fact]
    public async Task A_stop_token_ends_a_continuation_and_is_part_of_it()
    {
        using var tiny = new TinyLlama();
        var free = await GenerateAsync(tiny, new GenerationSettings(10, []), tiny.Segment(5, 1));
        var stop = free[0][3];

        var stopped = await GenerateAsync(tiny, new GenerationSettings(10, [stop]), tiny.Segment(5, 1));

        Assert.Equal(free[0][..(free[0].IndexOf(stop) + 1)], stopped[0]);
    }

    [Fact]
    public async Task Generation_ends_where_positions_end()
    {
        using var tiny = new TinyLlama();

        var continuations = await GenerateAsync(tiny, new GenerationSettings(50, []), tiny.Segment(tiny.Spec.MaxPositions - 2, 1), tiny.Segment(3, 2));

        Assert.Equal(3, continuations[0].Length);
        Assert.Equal(50, continuations[1].Length);
    }

    [Fact]
    public async Task A_token_sink_sees_the_tokens_as_they_come()
    {
        using var tiny = new TinyLlama();
        await using var computer = tiny.Computer();
        var sink = new RecordingSink(tiny.Layout);

        var outcome = await computer.ComputeAsync(Group(new GenerationSettings(6, []), tiny.Segment(5, 1), tiny.Segment(7, 2)), tiny.Trained, sink, Cancellation);

        for (var index = 0; index < 2; index++)
        {
            Assert.Equal(outcome.Continuations[index], sink.Tokens.Where(item => item.Sample == index + 1).Select(item => item.Token));
        }
    }

    private static GroupSpec Group(GenerationSettings settings, params ImmutableArray<Segment> prompts) =>
        new("test", 0, 0, GroupKind.Generate, [new MicroBatch(prompts)], settings);

    private static bool SequencesEqual(ImmutableArray<ImmutableArray<int>> left, ImmutableArray<ImmutableArray<int>> right) =>
        left.Length == right.Length && left.Zip(right).All(pair => pair.First.SequenceEqual(pair.Second));

    private static async Task<ImmutableArray<ImmutableArray<int>>> GenerateAsync(TinyLlama tiny, GenerationSettings settings, params ImmutableArray<Segment> prompts)
    {
        await using var computer = tiny.Computer();
        var outcome = await computer.ComputeAsync(Group(settings, prompts), tiny.Trained, new RecordingSink(tiny.Layout), Cancellation);
        return outcome.Continuations;
    }
}
