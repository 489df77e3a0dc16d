using DistTune.Core.Formats;
using DistTune.Core.Text;

namespace DistTune.Core.Tests.Text;

public sealed class GgufTokenizerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Smollm2_from_gguf_equals_its_tokenizer_json()
    {
        Assert.SkipWhen(GoldenFiles.ThirdParty is null, "DISTTUNE_THIRDPARTY is not set: the real model is not here.");
        var reference = Path.Combine(GoldenFiles.ThirdParty!, "tokenizers", "smollm2");

        Import(Path.Combine(GoldenFiles.ThirdParty!, "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"));

        var (expected, actual) = (Tokenizer.Load(reference), Tokenizer.Load(_folder));
        Assert.Equal(expected.SpecialTokens.Named(), actual.SpecialTokens.Named());
        Assert.Equal(ChatTemplate.Find(reference, expected.SpecialTokens)!.Source, ChatTemplate.Find(_folder, actual.SpecialTokens)!.Source);
        CheckCases(actual, GoldenFiles.External("tokenizers/smollm2/cases.jsonl"));
    }

    [Fact]
    public void Sentencepiece_vocabulary_from_gguf_equals_reference()
    {
        var file = GoldenFiles.External("gguf/vocab-spm1024.gguf");
        Assert.SkipWhen(file is null, "The vocabulary is not here (DISTTUNE_THIRDPARTY).");

        Import(file!);

        CheckCases(Tokenizer.Load(_folder), GoldenFiles.External("tokenizers/spm1024/cases.jsonl"));
    }

    private static void CheckCases(Tokenizer tokenizer, string? cases)
    {
        Assert.SkipWhen(cases is null, "The cases are not here.");
        foreach (var record in GoldenFiles.Records(cases!))
        {
            var ids = tokenizer.Encode(record.Text("text"), addSpecialTokens: true);
            Assert.Equal(record.GetProperty("ids_special").Ints(), ids);
            Assert.Equal(record.Text("decoded"), tokenizer.Decode(ids, skipSpecialTokens: false));
        }
    }

    private void Import(string path)
    {
        using var file = GgufFile.Open(path);
        GgufTokenizer.Load(file.Metadata).Write(_folder);
    }
}
