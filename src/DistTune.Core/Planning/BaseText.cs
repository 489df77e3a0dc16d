using DistTune.Core.Text;

namespace DistTune.Core.Planning;

/// <summary>The tokenizer and the chat template that belong to a base, wherever they lie.</summary>
public static class BaseText
{
    /// <summary>The tokenizer of a model folder, or of the folder that a GGUF file lies in.</summary>
    /// <exception cref="DistTuneException">There is none, or it cannot be read.</exception>
    public static Tokenizer Tokenizer(string baseModel) => Text.Tokenizer.Load(Folder(baseModel));

    /// <summary>The chat template: the configured file, or the base's own, or null.</summary>
    /// <exception cref="DistTuneException">The template cannot be read or parsed.</exception>
    public static ChatTemplate? Template(string baseModel, string? configured, Tokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        if (configured is null)
        {
            return ChatTemplate.Find(Folder(baseModel), tokenizer.SpecialTokens);
        }

        try
        {
            return ChatTemplate.Parse(File.ReadAllText(configured), tokenizer.SpecialTokens);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"chat_template {configured} cannot be read: {error.Message} Name an existing Jinja file.", error);
        }
    }

    private static string Folder(string baseModel) => File.Exists(baseModel) ? Path.GetDirectoryName(baseModel)! : baseModel;
}
