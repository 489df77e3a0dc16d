using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Text;

namespace DistTune.Core.Tests.Text;

public sealed class TokenizerFileTests : IDisposable
{
    private static readonly string Source = File.ReadAllText(Path.Combine(GoldenFiles.Root, "tokenizers", "bpe512", "tokenizer.json"));

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("model.type", "\"Unigram\"", "model of type 'Unigram'")]
    [InlineData("model.dropout", "0.1", "model.dropout")]
    [InlineData("model.end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix")]
    [InlineData("model.unk_token", "\"<nope>\"", "'<nope>', which is not in its vocabulary")]
    [InlineData("model.merges", "[[\"a\", \"zzzz\"]]", "not in its vocabulary")]
    [InlineData("model.merges", "[\"a b c\"]", "the merge 'a b c'")]
    [InlineData("model.vocab", "{}", "empty model.vocab")]
    [InlineData("model.vocab", "{\"a\": -1}", "the id -1")]
    [InlineData("model.vocab", "{\"a\": \"b\"}", "the wrong type")]
    [InlineData("model", "null", "no 'model' object")]
    [InlineData("normalizer", "{\"type\": \"BertNormalizer\"}", "normalizer 'BertNormalizer', which is not supported")]
    [InlineData("pre_tokenizer", "{\"type\": \"Metaspace\"}", "pre_tokenizer 'Metaspace', which is not supported")]
    [InlineData("pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}", "is not a regular expression")]
    [InlineData("pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"String\": \"x\"}, \"behavior\": \"Sideways\"}", "split behaviour 'Sideways'")]
    [InlineData("post_processor", "{\"type\": \"BertProcessing\"}", "post_processor 'BertProcessing', which is not supported")]
    [InlineData("decoder", "{\"type\": \"WordPiece\"}", "decoder 'WordPiece', which is not supported")]
    public void What_is_not_supported_is_an_error_that_names_it(string path, string value, string expected)
    {
        var root = JsonNode.Parse(Source)!;
        var parts = path.Split('.');
        (parts.Length == 1 ? root : root[parts[0]]!)[parts[^1]] = JsonNode.Parse(value);
        File.WriteAllText(Path.Combine(_folder, "tokenizer.json"), root.ToJsonString());

        var fault = Assert.Throws<DistTuneException>(() => Tokenizer.Load(_folder));

        Assert.Equal(FaultKind.InvalidFile, fault.Kind);
        Assert.Contains(expected, fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Damaged_files_never_end_in_another_exception()
    {
        // Every prefix and every flipped byte of a small file: an error of ours or a tokenizer, nothing else.
        var small = Encoding.UTF8.GetBytes("""{"added_tokens":[{"id":2,"content":"<e>","special":true}],"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"ByteLevel"},"decoder":{"type":"ByteLevel"},"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}}],"special_tokens":{}},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":3},"merges":["a b"]}}""");
        var file = Path.Combine(_folder, "tokenizer.json");
        for (var at = 0; at < small.Length; at++)
        {
            foreach (var damaged in new[] { small[..at], Flip(small, at, 1), Flip(small, at, 0x20) })
            {
                File.WriteAllBytes(file, damaged);
                try
                {
                    Tokenizer.Load(file).Encode("ab ba <e>", addSpecialTokens: true);
                }
                catch (DistTuneException fault)
                {
                    Assert.Contains("okenizer", fault.Message, StringComparison.Ordinal);
                }
            }
        }

        static byte[] Flip(byte[] bytes, int at, byte mask)
        {
            var copy = bytes.ToArray();
            copy[at] ^= mask;
            return copy;
        }
    }

    [Fact]
    public void Missing_file_is_an_error_with_its_cure() =>
        Assert.Contains("Give the folder", Assert.Throws<DistTuneException>(() => Tokenizer.Load(_folder)).Message, StringComparison.Ordinal);

    [Fact]
    public void Hash_changes_with_any_file()
    {
        File.WriteAllText(Path.Combine(_folder, "tokenizer.json"), Source);
        var first = Tokenizer.Load(_folder).Hash;
        File.WriteAllText(Path.Combine(_folder, "tokenizer_config.json"), """{"eos_token": {"content": "<|im_end|>"}}""");
        var second = Tokenizer.Load(_folder);

        Assert.NotEqual(first, second.Hash);
        Assert.Equal(2, second.EosId);
        Assert.Equal(second.Hash, Tokenizer.Load(Path.Combine(_folder, "tokenizer.json")).Hash);
    }

    [Fact]
    public void Unknown_pattern_sees_code_points_as_the_known_scanner_does()
    {
        // The same language, spelled so that it is not recognised: the general engine must agree with the scanner.
        var texts = GoldenFiles.Records(Path.Combine(GoldenFiles.Root, "tokenizers", "bpe2048", "cases.jsonl")).Select(record => record.GetProperty("text").GetString()!).Where(text => text.Length < 2000).ToList();
        foreach (var (known, spelled) in new[] { (WordScanner.Llama3Regex, WordScanner.Llama3Regex.Replace("(?i:'s", "(?i:'[sſ]", StringComparison.Ordinal)), (WordScanner.Gpt2Regex, $"(?:{WordScanner.Gpt2Regex})") })
        {
            var (scanner, engine) = (SplitPreTokenizer.ForRegex(known, SplitBehavior.Isolated, false), SplitPreTokenizer.ForRegex(spelled, SplitBehavior.Isolated, false));
            foreach (var text in texts)
            {
                Assert.Equal(Words(scanner, text), Words(engine, text));
            }
        }

        static List<TextSpan> Words(SplitPreTokenizer splitter, string text)
        {
            var spans = new List<TextSpan> { new(0, text.Length) };
            splitter.Split(new TextPiece(text), ref spans);
            return spans.Where(span => span.Length > 0).ToList();
        }
    }

    [Theory]
    [InlineData("Removed", false, "a|b|c")]
    [InlineData("Isolated", false, "a|-|b|-|-|c")]
    [InlineData("MergedWithPrevious", false, "a-|b-|-|c")]
    [InlineData("MergedWithNext", false, "a|-b|-|-c")]
    [InlineData("Contiguous", false, "a|-|b|--|c")]
    [InlineData("Removed", true, "-|-|-")]
    public void Split_behaviours_arrange_delimiters_as_named(string behavior, bool invert, string expected)
    {
        var splitter = SplitPreTokenizer.ForLiteral("-", Enum.Parse<SplitBehavior>(behavior), invert);
        var spans = new List<TextSpan> { new(0, 6) };
        splitter.Split(new TextPiece("a-b--c"), ref spans);
        Assert.Equal(expected, string.Join('|', spans.Select(span => "a-b--c"[span.Start..span.End])));
    }

    [Fact]
    public void Added_tokens_take_white_space_and_word_borders_as_they_ask()
    {
        var root = JsonNode.Parse(Source)!;
        root["added_tokens"] = JsonNode.Parse("""
            [{"id": 600, "content": "<l>", "lstrip": true, "special": true, "normalized": false},
             {"id": 601, "content": "<r>", "rstrip": true, "special": true, "normalized": false},
             {"id": 602, "content": "word", "single_word": true, "special": false, "normalized": true},
             {"id": 603, "content": "<l><r>", "special": true, "normalized": false}]
            """);
        File.WriteAllText(Path.Combine(_folder, "tokenizer.json"), root.ToJsonString());
        var tokenizer = Tokenizer.Load(_folder);

        Assert.Equal([600], tokenizer.Encode("  <l>", false));
        Assert.Equal([601, .. tokenizer.Encode("a", false)], tokenizer.Encode("<r> \n a", false));
        Assert.Equal([602], tokenizer.Encode("word", false));
        Assert.DoesNotContain(602, tokenizer.Encode("words sword", false));
        Assert.Equal([603], tokenizer.Encode("<l><r>", false));
        Assert.Equal((0, 5), tokenizer.EncodeWithOffsets("  <l>", false).Offsets[0]);
    }

    [Fact]
    public void Threads_share_a_tokenizer()
    {
        var tokenizer = Tokenizer.Load(Path.Combine(GoldenFiles.Root, "tokenizers", "bpe512"));
        var texts = GoldenFiles.Records(Path.Combine(GoldenFiles.Root, "tokenizers", "bpe512", "cases.jsonl")).Take(200).Select(record => (Text: record.Text("text"), Ids: record.GetProperty("ids").Ints())).ToList();
        Parallel.For(0, 8, _ => texts.ForEach(entry => Assert.Equal(entry.Ids, tokenizer.Encode(entry.Text, false))));
    }

    [Fact]
    public void Lone_surrogates_become_the_replacement_character()
    {
        var tokenizer = Tokenizer.Load(Path.Combine(GoldenFiles.Root, "tokenizers", "bpe2048"));
        Assert.Equal(tokenizer.Encode("a\uFFFDb", false), tokenizer.Encode("a\uD800b", false));
        Assert.Equal("a\uFFFD", tokenizer.Decode(tokenizer.Encode("a\uDC00", false), false));
    }

    [Fact]
    public void Named_template_of_a_list_is_found()
    {
        File.WriteAllText(Path.Combine(_folder, "tokenizer_config.json"), """{"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}""");
        Assert.Equal("D", ChatTemplate.Find(_folder, SpecialTokenNames.None)!.Source);
        Assert.Equal("T", ChatTemplate.Find(_folder, SpecialTokenNames.None, "tool_use")!.Source);
        File.WriteAllText(Path.Combine(_folder, "chat_template.jinja"), "J\n");
        Assert.Equal("J", ChatTemplate.Find(_folder, SpecialTokenNames.None)!.Render([("user", "x")], false).Text);
    }
}
