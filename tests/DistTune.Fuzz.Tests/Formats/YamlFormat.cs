using DistTune.Core.Configuration;

namespace DistTune.Fuzz.Tests.Formats;

internal sealed class YamlFormat : FuzzFormat
{
    private static readonly TextMutator Text = new(
        "&a ", "*a", "<<: *a", "!!python/object:os.system", "---\n", "...\n", "? ", "- ", ": ", "|\n", ">-\n", "{", "}", "[", "]", "#", "\t", "'", "%YAML 1.2\n", ".inf", ".nan", "0x10", "1_000",
        "lora_r", "datasets", "distributed", "learning_rate", "../../etc/passwd", "/dev/zero", "https://example.invalid/x", "~", "2e-4", "null", "yes");

    public override string Name => "yaml";

    public override IReadOnlyList<byte[]> Corpus { get; } =
    [
        Utf8("base_model: ./m\ndatasets: [{path: d.jsonl, type: chat_template}]\nlora_r: 8\nlearning_rate: 2e-4\nlora_target_modules: [q_proj, v_proj]\ndistributed: {workers: 2, min_workers: 1}\noutput_dir: out\n"),
        Utf8("base_model: ./m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\noutput_dir: out\nseed: 1\nsample_prompts:\n  - 'a ''b'\n  - \"c \\u0041\"\nbf16: auto\n# comment\nnum_epochs: 0.5\n"),
    ];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        Of("empty", ""),
        Of("a list", "- a\n"),
        Of("a word", "a\n"),
        Of("a billion laughs", "a: &a [x,x,x,x,x,x,x,x,x]\n" + string.Concat("bcdefghij".Select((name, i) => $"{name}: &{name} [{string.Join(',', Enumerable.Repeat("*" + (char)('a' + i), 9))}]\n"))),
        Of("an alias of itself", "a: &a [*a]\n"),
        Of("merge keys", "a: &a {b: 1}\nc:\n  <<: *a\n"),
        Of("a tag that makes objects", "base_model: !!python/object/apply:os.system ['id']\n"),
        Of("a local tag", "base_model: !include /etc/passwd\n"),
        Of("two documents", "seed: 1\n---\nseed: 2\n"),
        Of("deep lists", "a: " + Repeat("[", 100_000) + Repeat("]", 100_000)),
        Of("deep mappings", "a: " + Repeat("{a: ", 100_000) + "1" + Repeat("}", 100_000)),
        Of("deep blocks", string.Concat(Enumerable.Range(0, 500).Select(i => new string(' ', i) + "a:\n"))),
        Of("deep block lists", Repeat("- ", 100_000) + "a"),
        Of("deep keys", Repeat("? ", 50_000) + "a"),
        Of("the same key twice", "seed: 1\nseed: 2\n"),
        Of("20 000 unknown keys", string.Concat(Enumerable.Range(0, 20_000).Select(i => $"key{i}: 1\n"))),
        Of("a key of half a megabyte", Repeat("k", 500_000) + ": 1\n"),
        Of("a value of half a megabyte", "base_model: " + Repeat("v", 500_000) + "\n"),
        Of("two megabytes", "# " + Repeat("x", 2 << 20)),
        Of("numbers beyond every type", "lora_r: 99999999999999999999\nlearning_rate: 1e999\nseed: -1\nmax_steps: 9223372036854775808\nnum_epochs: .nan\nwarmup_ratio: .inf\n"),
        Of("a global batch of zero", "micro_batch_size: 0\nglobal_batch_size: 0\n"),
        Of("a device as data", "base_model: /dev/zero\ndatasets: [{path: /dev/zero, type: completion}]\n"),
        Of("an address as data", "base_model: https://example.invalid/m\ndatasets: [{path: https://example.invalid/d.jsonl, type: completion}]\n"),
        Of("control characters", "base_model: \"a\\u0000b\\u0007\"\n"),
        Of("tabs", "distributed:\n\tworkers: 1\n"),
        new("bytes that are no UTF-8", [.. Utf8("base_model: "), 0xFF, 0xFE, (byte)'\n']),
        new("UTF-16", System.Text.Encoding.Unicode.GetPreamble().Concat(System.Text.Encoding.Unicode.GetBytes("seed: 1\n")).ToArray()),
    ];

    public override long AllocationBound(int length) => (32L << 20) + (4096L * length);

    public override byte[] Mutate(Random random, byte[] content) => Text.Mutate(random, content);

    public override void Read(byte[] content, string folder)
    {
        var path = Path.Combine(folder, "run.yaml");
        File.WriteAllBytes(path, content);
        RunConfigLoader.Load(ConfigSource.FromFile(path), [], folder);
    }
}
