using System.Text.Json;
using DistTune.Core.Text;

namespace DistTune.Core.Tests.Text;

/// <summary>Ids, offsets and text equal those of the reference implementation on every case.</summary>
public sealed class TokenizerGoldenTests
{
    public static TheoryData<string> Own => ["bpe512", "bpe2048", "spm1024"];

    public static TheoryData<string> Real => ["smollm2", "llama3_1", "qwen3", "llama2"];

    [Theory]
    [MemberData(nameof(Own))]
    public void Own_tokenizer_equals_reference(string name) => Check(Load(name), Cases(name, "cases.jsonl"));

    [Theory]
    [MemberData(nameof(Own))]
    public void Own_tokenizer_equals_reference_under_turkish_culture(string name) =>
        GoldenFiles.UnderTurkishCulture(() => Check(Load(name), Cases(name, "cases.jsonl")));

    [Theory]
    [MemberData(nameof(Real))]
    public void Real_tokenizer_equals_reference(string name) => Check(Load(name), Cases(name, "cases.jsonl"));

    [Theory]
    [MemberData(nameof(Own))]
    [MemberData(nameof(Real))]
    public void Streaming_gives_out_the_reference_pieces(string name)
    {
        var tokenizer = Load(name);
        foreach (var record in Cases(name, "stream.jsonl"))
        {
            if (record.TryGetProperty("error", out _))
            {
                continue;
            }

            var decoder = tokenizer.CreateStreamDecoder(record.GetProperty("skip_special_tokens").GetBoolean());
            var pieces = record.GetProperty("ids").Ints().Select(decoder.Append).ToArray();
            Assert.Equal(record.GetProperty("pieces").EnumerateArray().Select(piece => piece.GetString()), pieces);
            if (record.GetProperty("pending").ValueKind == JsonValueKind.String)
            {
                Assert.Equal(record.Text("pending"), decoder.Flush() ?? string.Empty);
            }
        }
    }

    private static int Check(Tokenizer tokenizer, IEnumerable<JsonElement> cases)
    {
        var count = 0;
        foreach (var record in cases)
        {
            var id = record.Text("id");
            var text = record.Text("text");
            var ids = tokenizer.Encode(text, addSpecialTokens: false);
            Assert.True(record.GetProperty("ids").Ints().SequenceEqual(ids), $"{id}: expected {record.GetProperty("ids")}, got [{string.Join(',', ids)}]");
            var special = tokenizer.Encode(text, addSpecialTokens: true);
            Assert.True(record.GetProperty("ids_special").Ints().SequenceEqual(special), id);
            var encoding = tokenizer.EncodeWithOffsets(text, addSpecialTokens: false);
            Assert.Equal(ids, encoding.Ids.ToArray());
            if (record.GetProperty("offsets").ValueKind == JsonValueKind.Array)
            {
                var expected = record.GetProperty("offsets").EnumerateArray().Select(pair => (pair[0].GetInt32(), pair[1].GetInt32())).ToArray();
                Assert.True(expected.SequenceEqual(encoding.Offsets), $"{id}: expected {record.GetProperty("offsets")}, got {string.Join(' ', encoding.Offsets)}");
            }

            Assert.True(record.Text("decoded") == tokenizer.Decode(special, skipSpecialTokens: false), id);
            Assert.True(record.Text("decoded_skip") == tokenizer.Decode(special, skipSpecialTokens: true), id);
            count++;
        }

        Assert.True(count >= 300, $"only {count} cases were found");
        return count;
    }

    private static Tokenizer Load(string name)
    {
        var own = Path.Combine(GoldenFiles.Root, "tokenizers", name);
        if (File.Exists(Path.Combine(own, "tokenizer.json")))
        {
            return Tokenizer.Load(own);
        }

        var external = GoldenFiles.External($"tokenizers/{name}/tokenizer.json");
        Assert.SkipWhen(GoldenFiles.ThirdParty is null, "DISTTUNE_THIRDPARTY is not set: the real tokenizers are not here.");
        return Tokenizer.Load(external ?? Path.Combine(GoldenFiles.ThirdParty!, "tokenizers", name));
    }

    private static IEnumerable<JsonElement> Cases(string name, string file)
    {
        var path = Path.Combine(GoldenFiles.Root, "tokenizers", name, file);
        path = File.Exists(path) ? path : GoldenFiles.External($"tokenizers/{name}/{file}");
        Assert.SkipWhen(path is null, $"The cases of {name} are not here.");
        return GoldenFiles.Records(path!);
    }
}
