using System.Text.Json;
using DistTune.Core.Text;

namespace DistTune.Core.Tests.Text;

public sealed class BpeTrainerTests : IDisposable
{
    private static readonly string[] Chat = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"];

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("bpe512", 512, null)]
    [InlineData("bpe2048", 2048, WordScanner.Llama3Regex)]
    public void Training_gives_the_merges_of_the_reference_trainer(string name, int size, string? pattern)
    {
        var (corpus, rows) = (GoldenFiles.External("tools/tok_corpus.txt"), GoldenFiles.External("smollm2/rows.jsonl"));
        Assert.SkipWhen(corpus is null || rows is null, "The reference's corpus is not here (DISTTUNE_THIRDPARTY).");
        var lines = File.ReadAllText(corpus!).Split('\n').Where(line => line.Length > 0)
            .Concat(GoldenFiles.Records(rows!).SelectMany(row => row.EnumerateObject().Select(field => field.Value.GetString()!)));

        BpeTrainer.Train(lines, new BpeTrainerSettings(size, [.. Chat]) { SplitPattern = pattern, Compose = pattern is not null }).Write(_folder);

        var expected = Model(Path.Combine(GoldenFiles.Root, "tokenizers", name));
        var actual = Model(_folder);
        Assert.Equal(Merges(expected), Merges(actual));
        Assert.Equal(Vocabulary(expected), Vocabulary(actual));
    }

    [Fact]
    public void Written_files_read_back_as_the_same_tokenizer()
    {
        string[] texts = ["Toprağı işlemeden önce nemini ölçün.", "Toprak <|im_end|> analizi", "12 kg/da"];
        var settings = new BpeTrainerSettings(300, ["<|im_end|>", "<pad>"]) { Eos = "<|im_end|>", Pad = "<pad>", ChatTemplate = "{{ messages }}" };
        var trained = BpeTrainer.Train(texts, settings);
        trained.Write(_folder);

        var (read, used) = (Tokenizer.Load(_folder), trained.ToTokenizer());

        Assert.Equal(read.Hash, used.Hash);
        Assert.Equal((0, 1, null), (read.EosId, read.PadId, read.BosId));
        Assert.Equal("{{ messages }}", ChatTemplate.Find(_folder, read.SpecialTokens)!.Source);
        Assert.Equal(300, read.VocabularySize);
        Assert.DoesNotContain("im_", string.Concat(Enumerable.Range(2, 298).Select(read.IdToToken)), StringComparison.Ordinal);
        foreach (var text in texts)
        {
            Assert.Equal(used.Encode(text, false), read.Encode(text, false));
            Assert.Equal(text, read.Decode(read.Encode(text, false), skipSpecialTokens: false));
        }
    }

    [Fact]
    public void Training_depends_on_the_words_alone()
    {
        string[] texts = ["bir iki üç", "iki üç dört", "üç dört beş"];
        var hash = Train(texts).Hash;
        Assert.Equal(hash, Train(texts.Reverse()).Hash);
        Assert.Equal(hash, GoldenFiles.UnderTurkishCulture(() => Train(texts).Hash));

        static Tokenizer Train(IEnumerable<string> texts) => BpeTrainer.Train(texts, 280, ["<end>"]).ToTokenizer();
    }

    [Theory]
    [InlineData(256, "<end>", "vocabulary_size must be from 257")]
    [InlineData(300, "", "special_tokens must be distinct")]
    public void Impossible_settings_are_refused(int size, string token, string expected) =>
        Assert.Contains(expected, Assert.Throws<DistTuneException>(() => BpeTrainer.Train(["a"], size, [token])).Message, StringComparison.Ordinal);

    private static JsonElement Model(string folder) => JsonElement.Parse(File.ReadAllText(Path.Combine(folder, "tokenizer.json"))).GetProperty("model");

    private static IEnumerable<string> Merges(JsonElement model) => model.GetProperty("merges").EnumerateArray().Select(merge => $"{merge[0]} {merge[1]}");

    private static IEnumerable<(string, int)> Vocabulary(JsonElement model) => model.GetProperty("vocab").EnumerateObject().Select(entry => (entry.Name, entry.Value.GetInt32())).OrderBy(entry => entry.Item2);
}
