using DistTune.Core.Formats;
using DistTune.Core.Models;
using DistTune.Core.Tests.Formats;
using DistTune.Core.Text;

namespace DistTune.Fuzz.Tests.Formats;

/// <summary>A GGUF file with weights, configuration and tokenizer.</summary>
internal sealed class GgufFormat : FuzzFormat
{
    private const uint Strings = 8;
    private const uint List = 9;

    public override string Name => "gguf";

    public override IReadOnlyList<byte[]> Corpus { get; } = [WithTokenizer().Llama().Build(), WithTokenizer().Llama(bias: true).Build()];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        new("empty", []),
        new("magic alone", Utf8("GGUF")),
        new("another magic", new GgufBuilder { Magic = 1 }.Llama().Build()),
        new("big-endian", new GgufBuilder { Version = 3u << 24 }.Llama().Build()),
        new("2^64-1 entries", new GgufBuilder { ClaimedPairs = ulong.MaxValue }.Build()),
        new("2^31 tensors", new GgufBuilder { ClaimedTensors = 1UL << 31 }.Llama().Build()),
        new("2^60 tensors and entries", new GgufBuilder { ClaimedTensors = 1UL << 60, ClaimedPairs = 1UL << 60 }.Llama().Build()),
        new("a text of 2^60 bytes", new GgufBuilder().Raw("k", Strings, GgufBuilder.Number(1UL << 60)).Build()),
        new("a list of 2^40 numbers", new GgufBuilder().Raw("k", List, [.. GgufBuilder.Number(6u), .. GgufBuilder.Number(1UL << 40)]).Build()),
        new("nested lists", new GgufBuilder().Raw("k", List, [.. Enumerable.Repeat((byte[])[.. GgufBuilder.Number(List), .. GgufBuilder.Number(1UL)], 10_000).SelectMany(part => part)]).Build()),
        new("wide lists of lists", new GgufBuilder().Raw("k", List, [.. GgufBuilder.Number(List), .. GgufBuilder.Number(5000UL), .. Enumerable.Repeat((byte[])[.. GgufBuilder.Number(0u), .. GgufBuilder.Number(0UL)], 5000).SelectMany(part => part)]).Build()),
        new("a text that is no UTF-8", new GgufBuilder().Raw("k", Strings, [.. GgufBuilder.Number(1UL), 0xFF]).Build()),
        new("no layers", new GgufBuilder().Set("general.architecture", "llama").Set("llama.block_count", 0).Build()),
        new("4 294 967 295 layers", new GgufBuilder().Set("llama.block_count", uint.MaxValue).Build()),
        new("billions of layers in a whole model", Counts(uint.MaxValue, 1)),
        new("2^31-1 layers in a whole model", Counts(int.MaxValue, 1)),
        new("a million layers in a whole model", Counts(1_000_000, 1)),
        new("2^31-1 heads", Counts(1, int.MaxValue)),
        new("NaN as epsilon", new GgufBuilder().Llama(theta: float.NaN).Build()),
        new("infinite theta", new GgufBuilder().Llama(theta: float.PositiveInfinity).Build()),
        new("negative theta", new GgufBuilder().Llama(theta: -1).Build()),
        new("an alignment of 2^31", new GgufBuilder().Set("general.alignment", 1u << 31).Llama().Build()),
    ];

    public override byte[] Mutate(Random random, byte[] content) => ByteMutator.Mutate(random, content);

    public override void Read(byte[] content, string folder)
    {
        var path = Path.Combine(folder, "model.gguf");
        File.WriteAllBytes(path, content);
        using var weights = GgufWeights.Open(path);
        var spec = ModelFamilies.Describe(path);
        ModelFamilies.CheckWeights(spec, weights, path);
        foreach (var weight in spec.Weights)
        {
            weights.ReadFloat32(weight.Name, new float[checked((int)weight.Shape.Aggregate(1L, (product, size) => product * size))]);
        }

        GgufTokenizer.Load(weights.File.Metadata).ToTokenizer().Encode("ab ba", addSpecialTokens: true);
    }

    private static byte[] Counts(uint layers, uint heads) => new GgufBuilder()
        .Set("general.architecture", "llama").Set("llama.block_count", layers).Set("llama.context_length", 64).Set("llama.embedding_length", heads)
        .Set("llama.feed_forward_length", 12).Set("llama.attention.head_count", heads).Set("llama.attention.head_count_kv", heads)
        .Set("llama.attention.layer_norm_rms_epsilon", 1e-5f).Floats("token_embd.weight", [8, 16], i => i).Floats("output_norm.weight", [8], i => i).Build();

    private static GgufBuilder WithTokenizer() => new GgufBuilder()
        .Set("tokenizer.ggml.model", "gpt2").Set("tokenizer.ggml.pre", "gpt-2")
        .Raw("tokenizer.ggml.tokens", List, [.. GgufBuilder.Number(Strings), .. GgufBuilder.Number(5UL), .. new[] { "a", "b", "ab", "Ġ", "<end>" }.SelectMany(GgufBuilder.Utf8)])
        .Raw("tokenizer.ggml.merges", List, [.. GgufBuilder.Number(Strings), .. GgufBuilder.Number(1UL), .. GgufBuilder.Utf8("a b")])
        .Raw("tokenizer.ggml.token_type", List, [.. GgufBuilder.Number(5u), .. GgufBuilder.Number(5UL), .. new[] { 1u, 1u, 1u, 1u, 3u }.SelectMany(GgufBuilder.Number)])
        .Set("tokenizer.ggml.eos_token_id", 4);
}
