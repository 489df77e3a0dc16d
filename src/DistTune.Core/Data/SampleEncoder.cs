using System.Collections.Immutable;
using System.Text.Json;
using DistTune.Core.Text;
using DistTune.Core.Training;

namespace DistTune.Core.Data;

/// <summary>
/// Turns examples into tokens and label spans. A rendered chat is tokenised without added special tokens, so that it has exactly the ones
/// its template wrote; its answer begins where the tokens of the prompt (rendered with the generation prompt) and of the whole part ways.
/// </summary>
public sealed class SampleEncoder
{
    /// <summary>The layout of Alpaca, for models without a chat template; the tokenizer's own special tokens are put around it.</summary>
    private const string DefaultTemplate = """
        {%- for message in messages %}
        {%- if message.role == 'system' %}{{ message.content ~ '\n\n' }}
        {%- elif message.role == 'user' %}{{ '### Instruction:\n' ~ message.content ~ '\n\n' }}
        {%- elif message.role == 'assistant' %}{{ '### Response:\n' }}{% generation %}{{ message.content ~ eos_token }}{% endgeneration %}{{ '\n\n' if not loop.last else '' }}
        {%- else %}{{ raise_exception('The default chat layout has the roles system, user and assistant, not ' ~ message.role) }}
        {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}
        """;

    private readonly Tokenizer _tokenizer;
    private readonly ChatTemplate _template;
    private readonly SampleSettings _settings;
    private readonly bool _isDefaultTemplate;

    /// <summary>Creates an encoder.</summary>
    /// <param name="tokenizer">The base's tokenizer.</param>
    /// <param name="template">The base's chat template; null for the layout of Alpaca.</param>
    /// <param name="settings">Lengths and what is trained.</param>
    public SampleEncoder(Tokenizer tokenizer, ChatTemplate? template, SampleSettings settings)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(settings);
        if (settings.SequenceLength < 2)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"sequence_len must be at least 2, got {settings.SequenceLength}."));
        }

        _tokenizer = tokenizer;
        _isDefaultTemplate = template is null;
        _template = template ?? ChatTemplate.Parse(DefaultTemplate, tokenizer.SpecialTokens);
        _settings = settings;
    }

    /// <summary>Tokens and labels of an example. A sample of which nothing is trained has no labels.</summary>
    public TokenizedSample Encode(Example example) => example switch
    {
        ChatExample chat => EncodeChat(chat),
        TextExample text => EncodeText(text.Text),
        _ => throw new ArgumentException($"{example?.GetType().Name ?? "null"} is no example that can be encoded.", nameof(example)),
    };

    /// <summary>Tokens of a conversation up to where the assistant's next answer begins, for generation.</summary>
    public ImmutableArray<int> EncodePrompt(IReadOnlyList<JsonElement> messages, JsonElement? tools = null, IReadOnlyDictionary<string, JsonElement>? variables = null) =>
        Tokens(_template.Render(messages, addGenerationPrompt: true, tools, variables).Text);

    private TokenizedSample EncodeText(string text)
    {
        ImmutableArray<int> ids = [.. _tokenizer.Encode(text, addSpecialTokens: true)];
        if (_tokenizer.EosId is { } end && (ids.Length == 0 || ids[^1] != end))
        {
            ids = ids.Add(end);
        }

        return Cut(ids, [new LabelSpan(0, ids.Length)], new TokenizedSample([], []));
    }

    private TokenizedSample EncodeChat(ChatExample chat)
    {
        var last = chat.Messages.Length - 1;
        while (last >= 0 && Role(chat.Messages[last]) != "assistant")
        {
            last--;
        }

        // What follows the last answer is never trained on, and nothing before it depends on it.
        var messages = last < 0 ? chat.Messages : chat.Messages[..(last + 1)];
        var rendered = _template.Render(messages, addGenerationPrompt: false, chat.Tools, chat.Variables);
        var ids = Tokens(rendered.Text);
        if (last < 1)
        {
            return Cut(ids, _settings.TrainOnInputs ? [new LabelSpan(0, ids.Length)] : [], new TokenizedSample([], []));
        }

        var promptIds = EncodePrompt(messages[..last], chat.Tools, chat.Variables);
        var start = CommonPrefix(promptIds, ids);
        ids = _settings.KeepTrailingWhitespace ? ids : WithoutTrailingWhitespace(ids, start);
        var sample = new TokenizedSample([], [])
        {
            PromptIds = promptIds,
            PromptText = Content(messages.Take(last).LastOrDefault(message => Role(message) == "user")),
            Reference = Content(messages[last]),
        };
        return Cut(ids, Labels(rendered, ids.Length, start), sample);
    }

    private ImmutableArray<LabelSpan> Labels(RenderedChat rendered, int length, int completionStart)
    {
        if (_settings.TrainOnInputs)
        {
            return [new LabelSpan(0, length)];
        }

        if (_settings.Turns == TrainedTurns.Last)
        {
            return completionStart < length ? [new LabelSpan(completionStart, length)] : [];
        }

        if (rendered.AssistantSpans.IsEmpty)
        {
            throw new TemplateException("ConfigurationError", "to train every assistant turn, the chat template must mark them with {% generation %} … {% endgeneration %}, and it marks none. Add the tags, or train the last turn.");
        }

        return AssistantLabels(rendered, length);
    }

    /// <summary>For a span [a, b) of characters, the tokens from the one that holds a to the one that holds b-1.</summary>
    private ImmutableArray<LabelSpan> AssistantLabels(RenderedChat rendered, int length)
    {
        var encoding = _tokenizer.EncodeWithOffsets(rendered.Text, addSpecialTokens: _isDefaultTemplate);
        var labels = ImmutableArray.CreateBuilder<LabelSpan>();
        foreach (var (start, end) in rendered.AssistantSpans)
        {
            var first = TokenAt(encoding, start);
            if (first < 0 || end <= start)
            {
                continue;
            }

            var last = TokenAt(encoding, end - 1);
            var span = new LabelSpan(first, Math.Min(last < 0 ? encoding.Ids.Length : last + 1, length));
            if (labels.Count > 0 && span.Start < labels[^1].End)
            {
                span = span with { Start = labels[^1].End };
            }

            if (span.Start < span.End)
            {
                labels.Add(span);
            }
        }

        return labels.ToImmutable();
    }

    private static int TokenAt(TokenEncoding encoding, int character)
    {
        for (var i = 0; i < encoding.Offsets.Length; i++)
        {
            if (encoding.Offsets[i].Start <= character && character < encoding.Offsets[i].End)
            {
                return i;
            }
        }

        return -1;
    }

    private ImmutableArray<int> Tokens(string text)
    {
        if (!_isDefaultTemplate)
        {
            return [.. _tokenizer.Encode(text, addSpecialTokens: false)];
        }

        if (_tokenizer.SpecialTokens.Eos is null)
        {
            throw new DistTuneException(FaultKind.Configuration, "The model has neither a chat template nor an eos_token, so an answer would have no end. Set chat_template to a Jinja file, or eos_token in tokenizer_config.json.");
        }

        return [.. _tokenizer.Definition.PostProcessing.Before, .. _tokenizer.Encode(text, addSpecialTokens: false)];
    }

    private ImmutableArray<int> WithoutTrailingWhitespace(ImmutableArray<int> ids, int start)
    {
        for (var end = ids.Length; end > start; end--)
        {
            if (_tokenizer.IsSpecial(ids[end - 1]))
            {
                return _tokenizer.Decode(ids.Skip(end), skipSpecialTokens: false).AsSpan().IsWhiteSpace() ? ids[..end] : ids;
            }
        }

        return ids;
    }

    /// <summary>Cuts to the sequence length. A label at position 0 trains nothing, and a sample of only such labels has none.</summary>
    private TokenizedSample Cut(ImmutableArray<int> ids, ImmutableArray<LabelSpan> labels, TokenizedSample sample)
    {
        var length = Math.Min(ids.Length, _settings.SequenceLength);
        var kept = labels.Where(span => span.Start < length && Math.Min(span.End, length) > Math.Max(1, span.Start)).Select(span => span with { End = Math.Min(span.End, length) });
        return sample with { TokenIds = ids[..length], Labels = [.. kept], Truncated = length < ids.Length };
    }

    private static int CommonPrefix(ImmutableArray<int> left, ImmutableArray<int> right) => left.AsSpan().CommonPrefixLength(right.AsSpan());

    private static string? Role(JsonElement message) => message.TryGetProperty("role", out var role) && role.ValueKind == JsonValueKind.String ? role.GetString() : null;

    private static string Content(JsonElement message) =>
        message.ValueKind == JsonValueKind.Object && message.TryGetProperty("content", out var content) && content.ValueKind == JsonValueKind.String ? content.GetString()! : string.Empty;
}
