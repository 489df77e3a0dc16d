using DistTune.Core.Formats;
using DistTune.Core.Text;

namespace DistTune.Core.Planning;

/// <summary>The tokenizer and the chat template that belong to a base, wherever they lie.</summary>
public static class BaseText
{
    private const string TokenizerFile = "tokenizer.json";
    private const string GgufTemplateKey = "tokenizer.chat_template";

    /// <summary>The tokenizer of a model folder, or the one that a GGUF file carries.</summary>
    /// <exception cref="DistTuneException">There is none, or it cannot be read.</exception>
    public static Tokenizer Tokenizer(string baseModel)
    {
        if (GgufOf(baseModel) is not { } gguf)
        {
            return Text.Tokenizer.Load(baseModel);
        }

        using var file = GgufFile.Open(gguf);
        return GgufTokenizer.Load(file.Metadata).ToTokenizer();
    }

    /// <summary>The chat template: the configured file, or the base's own, or null.</summary>
    /// <exception cref="DistTuneException">The template cannot be read or parsed.</exception>
    public static ChatTemplate? Template(string baseModel, string? configured, Tokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        if (configured is not null)
        {
            return ChatTemplate.Parse(Read(configured), tokenizer.SpecialTokens);
        }

        if (GgufOf(baseModel) is not { } gguf)
        {
            return ChatTemplate.Find(baseModel, tokenizer.SpecialTokens);
        }

        using var file = GgufFile.Open(gguf);
        return file.Metadata.FindString(GgufTemplateKey) is { } source ? ChatTemplate.Parse(source, tokenizer.SpecialTokens) : null;
    }

    /// <summary>The GGUF file that a base is, or that its folder holds instead of a tokenizer; null for a Hugging Face folder.</summary>
    private static string? GgufOf(string baseModel)
    {
        if (File.Exists(Path.Combine(baseModel, TokenizerFile)))
        {
            return null;
        }

        var weights = WeightSources.Locate(baseModel);
        return WeightSources.IsGguf(weights) ? weights : null;
    }

    private static string Read(string path)
    {
        RegularFile.Check(path);
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"chat_template {path} cannot be read: {error.Message} Name an existing Jinja file.", error);
        }
    }
}
