using System.Collections.Immutable;
using DistTune.Core.Training;
using DistTune.Modeling.Decoders;
using DistTune.Modeling.Kernels;
using Tensor = TorchSharp.torch.Tensor;

namespace DistTune.Modeling.Tests;

public sealed class FamilyTests
{
    [Theory]
    [InlineData("mistral-tiny", 5, 40)]
    [InlineData("gemma2-tiny", 12, 30)]
    [InlineData("gemma3-text-tiny", 3, 40)]
    [InlineData("qwen3-tiny", 4, 12)]
    // Passes the original length of 32 on the way, where every key is rotated anew.
    [InlineData("phi3-longrope", 27, 12)]
    public async Task Generation_with_the_cache_equals_computing_everything_anew(string name, int promptLength, int newTokens)
    {
        using var tiny = new TinyLlama(name);
        await using var computer = tiny.Computer();
        // A second, longer prompt advances beside it: neither may notice the other.
        Segment[] prompts = [tiny.Segment(promptLength, 1), tiny.Segment(promptLength + 9, 2)];
        var group = new GroupSpec("test", 0, 0, GroupKind.Generate, [new MicroBatch([.. prompts])], new GenerationSettings(newTokens, []));

        var outcome = await computer.ComputeAsync(group, tiny.Fresh, new RecordingSink(tiny.Layout), TestContext.Current.CancellationToken);

        Assert.Equal(Anew(tiny, prompts[0], newTokens), outcome.Continuations[0]);
        Assert.Equal(Anew(tiny, prompts[1], newTokens), outcome.Continuations[1]);
    }

    [Fact]
    public void Attention_with_a_window_sees_what_a_mask_leaves_in_any_cut_of_queries_and_keys()
    {
        using var scope = torch.NewDisposeScope();
        const int Rows = 600;
        var shape = new AttentionShape(4, 2, 8) { Window = 37, SoftCap = 3 };
        var (queries, keys, values) = (Random(Rows, 4, 8), Random(Rows, 2, 8), Random(Rows, 2, 8));

        // More rows than one block holds, whole and as the last rows of a longer sequence.
        var whole = TorchAttention.Forward(queries, keys, values, shape, [new AttentionSpan(0, Rows, 0, Rows)]);
        var last = TorchAttention.Forward(queries.narrow(0, Rows - 70, 70), keys, values, shape, [new AttentionSpan(0, 70, 0, Rows)]);

        var expected = Masked(queries, keys, values, shape);
        Assert.True(Largest(whole.sub(expected)) < 1e-5);
        Assert.True(Largest(last.sub(expected.narrow(0, Rows - 70, 70))) < 1e-5);
    }

    [Fact]
    public void Dynamic_frequencies_depend_on_the_length_alone()
    {
        var table = new RotaryTable(new Core.Models.RotarySpec(10000, 16, new Core.Models.DynamicRotaryScaling(2, 32)));

        Assert.Equal(table.At(10).InverseFrequencies, table.At(32).InverseFrequencies);
        Assert.Equal(table.At(50).InverseFrequencies, table.At(50).InverseFrequencies);
        Assert.NotEqual(table.At(50).InverseFrequencies.ToArray(), table.At(51).InverseFrequencies.ToArray());
        Assert.Equal([0, 0, 33, 34], ((int[])[1, 32, 33, 34]).Select(table.Regime));
    }

    [Fact]
    public async Task Long_factors_go_by_the_longest_segment_of_a_micro_batch()
    {
        using var tiny = new TinyLlama("phi3-longrope");
        var (brief, lengthy) = (tiny.Segment(20, 1), tiny.Segment(40, 2));

        var apart = await tiny.ComputeAsync(tiny.Group(0, [brief], [lengthy]));
        var together = await tiny.ComputeAsync(tiny.Group(0, [brief, lengthy]));

        Assert.True(Math.Abs(apart.LossSum - together.LossSum) > 1e-3);
    }

    private static ImmutableArray<int> Anew(TinyLlama tiny, Segment prompt, int newTokens)
    {
        var tokens = prompt.TokenIds;
        for (var index = 0; index < newTokens; index++)
        {
            var logits = ForwardDetails.Compute(tiny.Model, [new Segment(tokens, [], 0)]).Logits.AsSpan((tokens.Length - 1) * tiny.Spec.VocabularySize);
            var best = 0;
            for (var token = 1; token < logits.Length; token++)
            {
                best = logits[token] > logits[best] ? token : best;
            }

            tokens = tokens.Add(best);
        }

        return tokens[prompt.TokenIds.Length..];
    }

    // [T, H, d] of values that repeat nowhere soon.
    private static Tensor Random(int rows, int heads, int width)
    {
        var values = Enumerable.Range(0, rows * heads * width).Select(index => MathF.Sin((index * 12.9898f) + heads) * 2).ToArray();
        return HostMemory.Upload<float>(values, [rows, heads, width], torch.ScalarType.Float32, torch.CPU);
    }

    private static Tensor Masked(Tensor queries, Tensor keys, Tensor values, AttentionShape shape)
    {
        var rows = queries.shape[0];
        var heads = Enumerable.Range(0, shape.Heads).Select(head =>
        {
            var shared = head / shape.GroupSize;
            var scores = queries.select(1, head).mm(keys.select(1, shared).t()).mul(shape.Scale / shape.SoftCap!.Value).tanh().mul(shape.SoftCap.Value);
            var all = torch.ones([rows, rows], dtype: torch.ScalarType.Bool);
            var hidden = scores.masked_fill(all.triu(1), float.NegativeInfinity).masked_fill(all.tril(-shape.Window!.Value), float.NegativeInfinity);
            return hidden.softmax(-1).mm(values.select(1, shared));
        });
        return torch.cat(heads.ToArray(), 1);
    }

    private static double Largest(Tensor difference) => difference.abs().amax(0, 1).item<float>();
}
