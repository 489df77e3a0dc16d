using DistTune.Core.Configuration;
using DistTune.Core.Data;
using DistTune.Core.Text;

namespace DistTune.Fuzz.Tests.Formats;

/// <summary>Rows of training data in one of the layouts, read, rendered and tokenised.</summary>
internal sealed class JsonLinesFormat(string layout) : FuzzFormat
{
    private static readonly TextMutator Text = new(
        "\"messages\"", "\"role\"", "\"content\"", "\"user\"", "\"assistant\"", "\"system\"", "\"text\"", "\"output\"", "\"tools\"", "\"chat_template_kwargs\"", "\n", "\r\n", "\u2028", "\uFEFF",
        "{\"messages\":[]}", "\"conversations\"", "\"tool_calls\"");

    private static readonly Lazy<(Tokenizer Tokenizer, ChatTemplate Template)> Model = new(() =>
    {
        var tokenizer = Tokenizer.Load(Golden.Path("sft-data", "tokenizer-chatml"));
        return (tokenizer, ChatTemplate.Find(Golden.Path("sft-data", "tokenizer-chatml"), tokenizer.SpecialTokens)!);
    });

    public override string Name => $"jsonl-{layout}";

    public override IReadOnlyList<byte[]> Corpus => [Utf8(layout switch
    {
        "alpaca" => "{\"instruction\":\"Ne?\",\"input\":\"\",\"output\":\"Bu.\"}\n{\"prompt\":\"a\",\"completion\":\"b\",\"system\":\"c\"}\n",
        "completion" => "{\"text\":\"Toprak nemli olmalı.\"}\n\n{\"text\":\"b\"}",
        _ => "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"Ne zaman?\"},{\"role\":\"assistant\",\"content\":\"Mayısta.\"}]}\n"
            + "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"}],\"tools\":[{\"a\":1}],\"chat_template_kwargs\":{\"x\":2}}\n",
    })];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        Of("empty", ""),
        Of("blank lines", Repeat("\n", 100_000)),
        Of("a list", "[]\n"),
        Of("a number", "1\n"),
        Of("cut short", "{\"messages\":[{\"role\":\"user\""),
        Of("two rows on a line", "{\"text\":\"a\"}{\"text\":\"b\"}\n"),
        Of("UTF-16", "\uFFFE{\u0000\"\u0000"),
        Of("a NUL", "{\"text\":\"a\u0000b\"}\n"),
        Of("half a surrogate pair", "{\"text\":\"\\ud800\",\"output\":\"\\udfff\",\"instruction\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"\\ud800\"},{\"role\":\"assistant\",\"content\":\"a\"}]}\n"),
        Of("half a surrogate pair as a key", "{\"\\ud800\":1,\"text\":\"a\"}\n{\"\\ud800\":1}\n"),
        Of("half a surrogate pair as a role", "{\"messages\":[{\"role\":\"\\ud800\",\"content\":\"a\"}],\"instruction\":\"\\ud800\"}\n"),
        Of("deep JSON", "{\"text\":" + Repeat("[", 100_000) + Repeat("]", 100_000) + "}\n"),
        Of("deep content", "{\"messages\":[{\"role\":\"user\",\"content\":" + Repeat("[", 60) + Repeat("]", 60) + "},{\"role\":\"assistant\",\"content\":\"a\"}],\"text\":\"a\",\"instruction\":\"a\",\"output\":\"a\"}\n"),
        Of("numbers beyond every type", "{\"messages\":[{\"role\":\"user\",\"content\":1e999},{\"role\":\"assistant\",\"content\":123456789012345678901234567890}],\"text\":1e999,\"instruction\":1,\"output\":1}\n"),
        Of("a row of a megabyte", "{\"text\":\"" + Repeat("a", 1 << 20) + "\",\"instruction\":\"a\",\"output\":\"b\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n"),
        Of("20 000 turns", "{\"messages\":[" + Repeat("{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},", 10_000) + "{\"role\":\"user\",\"content\":\"a\"}],\"text\":\"a\",\"instruction\":\"a\",\"output\":\"a\"}\n"),
        Of("the same key a thousand times", "{" + Repeat("\"text\":\"a\",", 1000) + "\"text\":\"b\",\"instruction\":\"a\",\"output\":\"b\",\"messages\":[{\"role\":\"assistant\",\"content\":\"b\"}]}\n"),
        new("bytes that are no UTF-8", [.. Utf8("{\"text\":\""), 0xC3, 0x28, 0xFF, .. Utf8("\"}\n")]),
        new("an overlong encoding", [.. Utf8("{\"text\":\""), 0xC0, 0xAF, .. Utf8("\"}\n")]),
    ];

    // A line is buffered, parsed, rendered and tokenised: a token, its span and its offset for each few bytes.
    public override long AllocationBound(int length) => (64L << 20) + (1024L * length);

    public override byte[] Mutate(Random random, byte[] content) => Text.Mutate(random, content);

    public override void Read(byte[] content, string folder)
    {
        var path = Path.Combine(folder, "rows.jsonl");
        File.WriteAllBytes(path, content);
        DataSet.Load([new DatasetConfig(path, layout)], Model.Value.Tokenizer, Model.Value.Template, sequenceLength: 256, trainOnInputs: false);
    }
}
