using DistTune.Core.Text;

namespace DistTune.Goldens.Text;

/// <summary>A tokenizer's folder without cases of its own: its files can be read and its templates parsed.</summary>
public sealed class TokenizerFolderGolden : IGoldenKind
{
    /// <inheritdoc />
    public IEnumerable<GoldenCase> Find(string folder) =>
        File.Exists(Path.Combine(folder, "tokenizer.json")) && !Directory.EnumerateFiles(folder, "*.jsonl").Any() && !File.Exists(Path.Combine(folder, "config.json"))
            ? [GoldenCase.OfFolder(folder)]
            : [];

    /// <inheritdoc />
    public Task RunAsync(GoldenCase golden, ErrorMeter meter, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(golden);
        ArgumentNullException.ThrowIfNull(meter);
        var tokenizer = Tokenizer.Load(golden.Path);
        meter.Equal("the tokenizer has tokens", tokenizer.VocabularySize > 0, true);
        foreach (var file in Directory.EnumerateFiles(golden.Path, "*.jinja").Order(StringComparer.Ordinal))
        {
            var source = File.ReadAllText(file);
            meter.Equal($"{Path.GetFileName(file)} is parsed", ChatTemplate.Parse(source, tokenizer.SpecialTokens).Source, source);
        }

        return Task.CompletedTask;
    }
}
