using DistTune.Core.Models;

namespace DistTune.Fuzz.Tests.Formats;

/// <summary>A base's <c>config.json</c>.</summary>
internal sealed class ModelConfigFormat : FuzzFormat
{
    private static readonly TextMutator Text = new(
        "\"LlamaForCausalLM\"", "\"Phi3ForCausalLM\"", "\"Qwen3ForCausalLM\"", "\"GemmaForCausalLM\"", "\"MixtralForCausalLM\"", "\"llama\"", "\"rope_scaling\"", "{\"rope_type\":\"llama3\"}",
        "{\"type\":\"yarn\",\"factor\":1e300}", "\"silu\"", "\"gelu\"", "\"num_hidden_layers\"", "\"head_dim\"", "[1,2,3]", "\"linear\"");

    public override string Name => "config";

    public override IReadOnlyList<byte[]> Corpus { get; } =
    [
        Golden.Bytes("models", "llama-tiny", "config.json"), Golden.Bytes("models", "llama3-tiny", "config.json"), Golden.Bytes("models", "llama-linear-rope", "config.json"),
    ];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        Of("empty", ""),
        Of("a list", "[]"),
        Of("no architecture", "{}"),
        Of("two architectures", """{"architectures":["LlamaForCausalLM","LlamaForCausalLM"]}"""),
        Of("half a surrogate pair as architecture", """{"architectures":["\ud800"]}"""),
        Of("half a surrogate pair as activation", Shape("1", "1").Replace("\"x\":1", "\"hidden_act\":\"\\ud800\"", StringComparison.Ordinal)),
        Of("2^31-1 layers", Shape("2147483647", "1")),
        Of("ten million layers", Shape("10000000", "1")),
        Of("2^31-1 heads of 2^31-1", Shape("1", "2147483647")),
        Of("negative layers", Shape("-1", "1")),
        Of("a fraction of layers", Shape("1.5", "1")),
        Of("layers as text", Shape("\"1\"", "1")),
        Of("zero heads", Shape("1", "0")),
        Of("NaN as text", Shape("\"NaN\"", "\"NaN\"")),
        Of("a tiny theta", Shape("1", "2").Replace("\"x\":1", "\"rope_theta\":1e-320", StringComparison.Ordinal)),
        Of("a huge scaling", Shape("1", "2").Replace("\"x\":1", "\"rope_scaling\":{\"type\":\"linear\",\"factor\":1e308}", StringComparison.Ordinal)),
        Of("a scaling that is a list", Shape("1", "2").Replace("\"x\":1", "\"rope_scaling\":[]", StringComparison.Ordinal)),
        Of("deep JSON", "{\"a\":" + Repeat("{\"a\":", 100_000) + "1" + Repeat("}", 100_001)),
        Of("duplicate fields", Shape("1", "2").Replace("\"x\":1", "\"num_hidden_layers\":2", StringComparison.Ordinal)),
        Of("a million end tokens", Shape("1", "2").Replace("\"x\":1", $"\"eos_token_id\":[{Repeat("1,", 1_000_000)}1]", StringComparison.Ordinal)),
    ];

    public override long AllocationBound(int length) => (64L << 20) + (256L * length);

    public override byte[] Mutate(Random random, byte[] content) => Text.Mutate(random, content);

    public override void Read(byte[] content, string folder)
    {
        File.WriteAllBytes(Path.Combine(folder, ModelFamilies.ConfigName), content);
        ModelFamilies.Describe(folder);
    }

    private static string Shape(string layers, string heads) =>
        $$"""{"architectures":["LlamaForCausalLM"],"hidden_size":2147483646,"intermediate_size":2147483646,"vocab_size":2147483647,"head_dim":2,"num_hidden_layers":{{layers}},"num_attention_heads":{{heads}},"x":1}""";
}
