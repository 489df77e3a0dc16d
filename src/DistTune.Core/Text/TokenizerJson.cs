using System.Collections.Immutable;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;

namespace DistTune.Core.Text;

/// <summary>
/// The files of a tokenizer that did not come from Hugging Face files (it was trained here, or read from a GGUF): ready to be written as
/// <c>tokenizer.json</c> and <c>tokenizer_config.json</c>, and to be used.
/// </summary>
public sealed class TokenizerJson
{
    private static readonly JsonWriterOptions Indented = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly byte[] _tokenizer;
    private readonly byte[] _config;

    private TokenizerJson(byte[] tokenizer, byte[] config) => (_tokenizer, _config) = (tokenizer, config);

    /// <summary>The tokenizer, the same as <see cref="Tokenizer.Load"/> makes of the written files.</summary>
    public Tokenizer ToTokenizer() => TokenizerFiles.Load(
        [(TokenizerFiles.TokenizerFile, TokenizerFiles.TokenizerFile, _tokenizer), (TokenizerFiles.ConfigFile, TokenizerFiles.ConfigFile, _config)]);

    /// <summary>Writes both files into a folder that exists; files of these names are replaced.</summary>
    public void Write(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        foreach (var (name, content) in new[] { (TokenizerFiles.TokenizerFile, _tokenizer), (TokenizerFiles.ConfigFile, _config) })
        {
            AtomicFile.Write(Path.Combine(folder, name), stream => stream.Write(content));
        }
    }

    internal static TokenizerJson Create(TokenizerParts parts) => new(Render(writer => WriteTokenizer(writer, parts)), Render(writer => WriteConfig(writer, parts)));

    private static byte[] Render(Action<Utf8JsonWriter> write)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, Indented))
        {
            write(writer);
        }

        stream.WriteByte((byte)'\n');
        return stream.ToArray();
    }

    private static void WriteTokenizer(Utf8JsonWriter writer, TokenizerParts parts)
    {
        writer.WriteStartObject();
        writer.WriteString("version", "1.0");
        writer.WriteNull("truncation");
        writer.WriteNull("padding");
        writer.WriteStartArray("added_tokens");
        foreach (var token in parts.AddedTokens)
        {
            writer.WriteStartObject();
            writer.WriteNumber("id", token.Id);
            writer.WriteString("content", token.Content);
            writer.WriteBoolean("single_word", token.SingleWord);
            writer.WriteBoolean("lstrip", token.StripLeft);
            writer.WriteBoolean("rstrip", token.StripRight);
            writer.WriteBoolean("normalized", token.Normalized);
            writer.WriteBoolean("special", token.Special);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        WriteNode(writer, "normalizer", parts.Normalizer);
        WriteNode(writer, "pre_tokenizer", parts.PreTokenizer);
        WriteNode(writer, "post_processor", parts.PostProcessor());
        WriteNode(writer, "decoder", parts.Decoder);
        WriteModel(writer, parts);
        writer.WriteEndObject();
    }

    private static void WriteModel(Utf8JsonWriter writer, TokenizerParts parts)
    {
        writer.WriteStartObject("model");
        writer.WriteString("type", "BPE");
        writer.WriteNull("dropout");
        writer.WriteString("unk_token", parts.ByteFallback ? parts.Unknown : null);
        writer.WriteNull("continuing_subword_prefix");
        writer.WriteNull("end_of_word_suffix");
        writer.WriteBoolean("fuse_unk", parts.ByteFallback);
        writer.WriteBoolean("byte_fallback", parts.ByteFallback);
        writer.WriteBoolean("ignore_merges", parts.IgnoreMerges);
        writer.WriteStartObject("vocab");
        for (var id = 0; id < parts.Tokens.Count; id++)
        {
            writer.WriteNumber(parts.Tokens[id], id);
        }

        writer.WriteEndObject();
        writer.WriteStartArray("merges");
        foreach (var (left, right) in parts.Merges)
        {
            writer.WriteStartArray();
            writer.WriteStringValue(left);
            writer.WriteStringValue(right);
            writer.WriteEndArray();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static void WriteConfig(Utf8JsonWriter writer, TokenizerParts parts)
    {
        writer.WriteStartObject();
        writer.WriteString("tokenizer_class", "PreTrainedTokenizerFast");
        foreach (var (name, token) in new[] { ("bos_token", parts.Bos), ("eos_token", parts.Eos), ("pad_token", parts.Pad), ("unk_token", parts.Unknown) })
        {
            if (token is not null)
            {
                writer.WriteString(name, token);
            }
        }

        writer.WriteBoolean("add_prefix_space", false);
        writer.WriteBoolean("clean_up_tokenization_spaces", false);
        if (parts.ModelMaximumLength is { } length)
        {
            writer.WriteNumber("model_max_length", length);
        }

        if (parts.ChatTemplate is not null)
        {
            writer.WriteString("chat_template", parts.ChatTemplate);
        }

        writer.WriteEndObject();
    }

    private static void WriteNode(Utf8JsonWriter writer, string name, JsonNode? node)
    {
        writer.WritePropertyName(name);
        if (node is null)
        {
            writer.WriteNullValue();
        }
        else
        {
            node.WriteTo(writer);
        }
    }
}

/// <summary>What a new tokenizer is made of.</summary>
internal sealed record TokenizerParts
{
    /// <summary>The tokens by id.</summary>
    public required IReadOnlyList<string> Tokens { get; init; }

    public required IReadOnlyList<(string Left, string Right)> Merges { get; init; }

    public ImmutableArray<AddedToken> AddedTokens { get; init; } = [];

    public bool IgnoreMerges { get; init; }

    public bool ByteFallback { get; init; }

    public JsonNode? Normalizer { get; init; }

    public JsonNode? PreTokenizer { get; init; }

    public JsonNode? Decoder { get; init; } = ByteLevel(useRegex: true);

    public string? Bos { get; init; }

    public string? Eos { get; init; }

    public string? Pad { get; init; }

    public string? Unknown { get; init; }

    /// <summary>Whether <see cref="Bos"/> is put before a text.</summary>
    public bool AddBos { get; init; }

    /// <summary>Whether <see cref="Eos"/> is put after a text.</summary>
    public bool AddEos { get; init; }

    public string? ChatTemplate { get; init; }

    public long? ModelMaximumLength { get; init; }

    internal static JsonNode ByteLevel(bool useRegex) => new JsonObject
    {
        ["type"] = "ByteLevel",
        ["add_prefix_space"] = false,
        ["trim_offsets"] = true,
        ["use_regex"] = useRegex,
    };

    internal static JsonNode Sequence(string parts, params JsonNode[] items) => new JsonObject { ["type"] = "Sequence", [parts] = new JsonArray(items) };

    internal static JsonNode Split(string regex) => new JsonObject
    {
        ["type"] = "Split",
        ["pattern"] = new JsonObject { ["Regex"] = regex },
        ["behavior"] = "Isolated",
        ["invert"] = false,
    };

    /// <summary>The template that puts the begin and end tokens around a text; null if none is put.</summary>
    internal JsonNode? PostProcessor()
    {
        var before = AddBos ? Bos : null;
        var after = AddEos ? Eos : null;
        if (before is null && after is null)
        {
            return null;
        }

        var single = new JsonArray();
        var special = new JsonObject();
        Add(before);
        single.Add(new JsonObject { ["Sequence"] = Part("A") });
        Add(after);
        return new JsonObject { ["type"] = "TemplateProcessing", ["single"] = single, ["pair"] = Pair(single), ["special_tokens"] = special };

        void Add(string? token)
        {
            if (token is null)
            {
                return;
            }

            single.Add(new JsonObject { ["SpecialToken"] = Part(token) });
            var id = AddedTokens.First(added => added.Content == token).Id;
            special[token] = new JsonObject { ["id"] = token, ["ids"] = new JsonArray(id), ["tokens"] = new JsonArray(token) };
        }
    }

    private static JsonObject Part(string id) => new() { ["id"] = id, ["type_id"] = 0 };

    private static JsonArray Pair(JsonArray single) =>
    [
        .. single.Select(piece => piece!.DeepClone()),
        new JsonObject { ["Sequence"] = new JsonObject { ["id"] = "B", ["type_id"] = 1 } },
    ];
}
