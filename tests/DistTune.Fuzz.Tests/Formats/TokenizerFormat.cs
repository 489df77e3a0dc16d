using DistTune.Core.Text;

namespace DistTune.Fuzz.Tests.Formats;

internal sealed class TokenizerFormat : FuzzFormat
{
    private const string Small =
        """
        {"version":"1.0","added_tokens":[{"id":6,"content":"<end>","special":true,"normalized":false,"lstrip":true}],
        "normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]},
        "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\s+|\\w+"},"behavior":"Isolated","invert":false},{"type":"Digits","individual_digits":true}]},
        "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<end>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<end>":{"id":"<end>","ids":[6],"tokens":["<end>"]}}},
        "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
        "model":{"type":"BPE","dropout":null,"unk_token":"u","fuse_unk":true,"byte_fallback":true,"vocab":{"u":0,"a":1,"b":2,"ab":3,"\u2581":4,"aba":5},"merges":["a b",["ab","a"]]}}
        """;

    private static readonly TextMutator Text = new(
        "\"BPE\"", "\"WordPiece\"", "\"Sequence\"", "\"ByteLevel\"", "\"Split\"", "\"NFKC\"", "\"Prepend\"", "\"Strip\"", "\"(a+)+$\"", "\"(?<x>a|aa)*\\\\k<x>b\"",
        "\"a{1000000000}\"", "\"[a-z\"", "\"\"", "16777215", "16777216", "\"vocab\"", "\"merges\"", "\"type\"", "\"MergedWithPrevious\"");

    public override string Name => "tokenizer";

    public override IReadOnlyList<byte[]> Corpus { get; } = [Utf8(Small), Golden.Bytes("tokenizers", "bpe512", "tokenizer.json")];

    public override IReadOnlyList<HostileFile> Hostile { get; } =
    [
        Of("empty", ""),
        Of("a list", "[]"),
        Of("a null model", """{"model":null}"""),
        Of("an empty vocabulary", Changed("\"vocab\":{\"u\":0,\"a\":1,\"b\":2,\"ab\":3,\"\\u2581\":4,\"aba\":5}", "\"vocab\":{}")),
        Of("the largest id", Changed("\"aba\":5", "\"aba\":16777215")),
        Of("an id beyond", Changed("\"aba\":5", "\"aba\":2147483647")),
        Of("a negative id", Changed("\"aba\":5", "\"aba\":-1")),
        Of("a fraction as id", Changed("\"aba\":5", "\"aba\":1.5")),
        Of("a merge of unknown tokens", Changed("a b", "x y")),
        Of("a merge without space", Changed("a b", "ab")),
        Of("null in a merge", Changed("[\"ab\",\"a\"]", "[null,null]")),
        Of("three tokens in a merge", Changed("[\"ab\",\"a\"]", "[\"a\",\"b\",\"a\"]")),
        Of("a regular expression that backtracks for ever", Changed("\\\\s+|\\\\w+", "(a|aa)+$")),
        Of("nested quantifiers", Changed("\\\\s+|\\\\w+", "((a+)+)+b")),
        Of("back references", Changed("\\\\s+|\\\\w+", "(a*)*\\\\1b")),
        Of("an expression of a megabyte", Changed("\\\\s+|\\\\w+", Repeat("(a|b)", 200_000))),
        Of("ten thousand groups", Changed("\\\\s+|\\\\w+", Repeat("(", 10_000) + "a" + Repeat(")", 10_000))),
        Of("a million repetitions of a thousand", Changed("\\\\s+|\\\\w+", "((a{1000}){1000}){1000}")),
        Of("an expression that is none", Changed("\\\\s+|\\\\w+", "[")),
        Of("an empty expression", Changed("\\\\s+|\\\\w+", "")),
        Of("a decoder that strips everything", Changed("\"start\":1", "\"start\":2147483647")),
        Of("a decoder that strips backwards", Changed("\"start\":1", "\"start\":-5")),
        Of("a decoder that strips nothing", Changed("\"Strip\",\"content\":\" \"", "\"Strip\",\"content\":\"\"")),
        Of("deep normalizers", "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":" + Repeat("{\"type\":\"Sequence\",\"normalizers\":[", 30) + "{\"type\":\"NFC\"}" + Repeat("]}", 30) + "}"),
        Of("normalizers that double the text", Doubling(25)),
        Of("deep JSON", Repeat("[", 200_000)),
        Of("half a surrogate pair", Changed("\"aba\":5", "\"\\ud800\":5")),
        new("bytes that are no UTF-8", [.. Utf8("{\"model\":{\"vocab\":{\""), 0xFF, 0xC0, .. Utf8("\":0},\"merges\":[]}}")]),
        Of("100 000 added tokens", "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"added_tokens\":[" + string.Join(',', Enumerable.Range(0, 100_000).Select(i => $$"""{"id":{{i}},"content":"{{Repeat("a", 1 + (i % 40))}}{{i}}"}""")) + "]}"),
    ];

    // The table from ids to texts is as long as the largest id, which is bounded.
    public override long AllocationBound(int length) => (96L << 20) + (512L * length);

    public override byte[] Mutate(Random random, byte[] content) => Text.Mutate(random, content);

    public override void Read(byte[] content, string folder)
    {
        var path = Path.Combine(folder, "tokenizer.json");
        File.WriteAllBytes(path, content);
        var tokenizer = Tokenizer.Load(path);
        var ids = tokenizer.Encode("ab aba 12 <end> ğüş 😀 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", addSpecialTokens: true);
        tokenizer.Decode(ids, skipSpecialTokens: false);
    }

    private static string Changed(string from, string to)
    {
        Assert.Contains(from, Small, StringComparison.Ordinal);
        return Small.Replace(from, to, StringComparison.Ordinal);
    }

    private static string Doubling(int times) => "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
        + string.Join(',', Enumerable.Repeat("""{"type":"Replace","pattern":{"String":"a"},"content":"aa"}""", times)) + "]}}";
}
