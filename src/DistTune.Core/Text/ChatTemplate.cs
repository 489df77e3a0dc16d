using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Text.Jinja;

namespace DistTune.Core.Text;

/// <summary>A rendered conversation.</summary>
/// <param name="Text">The text; encode it without adding special tokens, for the template wrote them.</param>
/// <param name="AssistantSpans">[start, end) of what <c>{% generation %}</c> blocks wrote, in code points; empty if the template has none.</param>
public sealed record RenderedChat(string Text, ImmutableArray<(int Start, int End)> AssistantSpans);

/// <summary>
/// A chat template: the part of Jinja 2 that Hugging Face's templates are written in, with the same white-space rules and the same
/// sandbox. A rendering is bounded in steps, depth and output, so that a hostile template ends in an error.
/// </summary>
public sealed class ChatTemplate
{
    private const string TemplateFile = "chat_template.jinja";

    private static readonly string[] ReasoningKeys = ["reasoning_content", "thinking", "reasoning"];

    private readonly List<Statement> _body;
    private readonly TimeProvider _time;

    private ChatTemplate(string source, List<Statement> body, ImmutableArray<KeyValuePair<string, string>> specialTokens, TimeProvider time)
    {
        Source = source;
        _body = body;
        SpecialTokens = specialTokens;
        _time = time;
    }

    /// <summary>The template's text.</summary>
    public string Source { get; }

    /// <summary>Special tokens by the names that a template uses: <c>bos_token</c>, <c>eos_token</c>, …</summary>
    public ImmutableArray<KeyValuePair<string, string>> SpecialTokens { get; }

    /// <summary>Parses a template.</summary>
    /// <param name="source">The template's text.</param>
    /// <param name="specialTokens">The tokens it may write by name; none if null.</param>
    /// <param name="time">The clock behind <c>strftime_now</c>; the system's if null.</param>
    /// <exception cref="TemplateException">The text is no template.</exception>
    public static ChatTemplate Parse(string source, SpecialTokenNames? specialTokens = null, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        return new ChatTemplate(source, Parser.Parse(source), [.. (specialTokens ?? SpecialTokenNames.None).Named()], time ?? TimeProvider.System);
    }

    /// <summary>
    /// The template of a model folder: <c>chat_template.jinja</c>, or <c>chat_template</c> in <c>tokenizer_config.json</c> (one text, or a
    /// list of named ones, of which <c>default</c> is taken). Null if the model has none.
    /// </summary>
    public static ChatTemplate? Find(string folder, SpecialTokenNames specialTokens, string name = "default")
    {
        ArgumentNullException.ThrowIfNull(folder);
        var file = Path.Combine(folder, TemplateFile);
        if (File.Exists(file))
        {
            return Parse(Encoding.UTF8.GetString(TokenizerFiles.Read(file)), specialTokens);
        }

        var config = Path.Combine(folder, TokenizerFiles.ConfigFile);
        if (!File.Exists(config))
        {
            return null;
        }

        using var document = TokenizerFiles.Parse(config, TokenizerFiles.Read(config));
        if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("chat_template", out var section))
        {
            return null;
        }

        if (section.ValueKind == JsonValueKind.Array)
        {
            foreach (var entry in section.EnumerateArray())
            {
                if (Field(entry, "name") == name && Field(entry, "template") is { } template)
                {
                    return Parse(template, specialTokens);
                }
            }

            throw new DistTuneException(FaultKind.Configuration, $"'{config}' has no chat template named '{name}'. Name one that it has.");
        }

        return section.ValueKind == JsonValueKind.String ? Parse(section.GetString()!, specialTokens) : null;
    }

    /// <summary>Renders a conversation.</summary>
    /// <param name="messages">Messages as JSON objects with <c>role</c>, <c>content</c> and whatever else the template reads.</param>
    /// <param name="addGenerationPrompt">Whether to end with the head of an assistant's turn.</param>
    /// <param name="tools">The tools as JSON, or null.</param>
    /// <param name="extra">Further variables of the template.</param>
    /// <exception cref="TemplateException">The template refuses the conversation or fails.</exception>
    public RenderedChat Render(IReadOnlyList<JsonElement> messages, bool addGenerationPrompt, JsonElement? tools = null, IReadOnlyDictionary<string, JsonElement>? extra = null)
    {
        ArgumentNullException.ThrowIfNull(messages);
        if (messages.Count == 0)
        {
            throw new TemplateException("ValueError", "Cannot apply chat template to an empty conversation. Provide at least one message.");
        }

        var variables = new List<KeyValuePair<string, object?>>
        {
            new("messages", new PyList(messages.Select(PythonJson.ToValue).Select(WithReasoning))),
            new("tools", tools is { } given ? PythonJson.ToValue(given) : null),
            new("documents", null),
            new("add_generation_prompt", addGenerationPrompt),
        };
        variables.AddRange(SpecialTokens.Select(token => KeyValuePair.Create<string, object?>(token.Key, token.Value)));
        variables.AddRange((extra ?? ImmutableDictionary<string, JsonElement>.Empty).Select(entry => KeyValuePair.Create(entry.Key, PythonJson.ToValue(entry.Value))));
        return Render(variables);
    }

    /// <summary>Renders messages of plain text.</summary>
    public RenderedChat Render(IEnumerable<(string Role, string Content)> messages, bool addGenerationPrompt) => Render(
        messages.Select(message => JsonSerializer.SerializeToElement(new JsonObject { ["role"] = message.Role, ["content"] = message.Content })).ToList(),
        addGenerationPrompt);

    /// <summary>Renders with these variables alone; neither messages nor special tokens are added.</summary>
    public RenderedChat Render(IReadOnlyDictionary<string, JsonElement> variables)
    {
        ArgumentNullException.ThrowIfNull(variables);
        return Render(variables.Select(entry => KeyValuePair.Create(entry.Key, PythonJson.ToValue(entry.Value))));
    }

    internal RenderedChat Render(IEnumerable<KeyValuePair<string, object?>> variables)
    {
        var context = new RenderContext(Globals.Create(), _time);
        foreach (var (name, value) in variables)
        {
            context.Scope.Set(name, value);
        }

        context.Run(() => Statement.ExecuteAll(_body, context));
        var text = context.Output;
        return new RenderedChat(text, [.. context.Generations.Select(span => (PythonText.Length(text[..span.Start]), PythonText.Length(text[..span.End])))]);
    }

    private static string? Field(JsonElement entry, string name) =>
        entry.ValueKind == JsonValueKind.Object && entry.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    /// <summary>What one field says about the assistant's reasoning, all names of it say.</summary>
    private static object? WithReasoning(object? message)
    {
        if (message is PyDict fields)
        {
            var known = ReasoningKeys.FirstOrDefault(key => fields.TryGet(key, out var value) && value is not null);
            if (known is not null && fields.TryGet(known, out var reasoning))
            {
                fields.Set("reasoning_content", reasoning);
                fields.Set("thinking", reasoning);
            }
        }

        return message;
    }
}
