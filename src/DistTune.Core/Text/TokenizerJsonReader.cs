using System.Collections.Immutable;
using System.Text;
using System.Text.Json;

namespace DistTune.Core.Text;

/// <summary>Reads the sections of a <c>tokenizer.json</c>; whatever it does not know is an error that names it.</summary>
internal sealed class TokenizerJsonReader
{
    // Sixteen times the largest vocabulary in use; the table from ids to texts is this long at most.
    private const int MaximumIds = 1 << 22;

    private readonly string _file;

    private TokenizerJsonReader(string file) => _file = file;

    internal static TokenizerDefinition Read(JsonElement root, string file)
    {
        var reader = new TokenizerJsonReader(file);
        if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("model", out var model) || model.ValueKind != JsonValueKind.Object)
        {
            throw reader.Fault("has no 'model' object. Give the tokenizer.json of a Hugging Face model.");
        }

        try
        {
            return reader.ReadAll(root, model);
        }
        catch (Exception error) when (error is InvalidOperationException or FormatException or KeyNotFoundException)
        {
            throw new DistTuneException(FaultKind.InvalidFile, $"'{file}' is not a tokenizer.json: a field is missing or has the wrong type ({error.Message}). Fetch the file again.", error);
        }
    }

    private TokenizerDefinition ReadAll(JsonElement root, JsonElement model)
    {
        var type = Text(model, "type") ?? "BPE";
        if (type != "BPE")
        {
            throw Fault($"has a model of type '{type}'; BPE is supported. Use a model with a byte-pair tokenizer.");
        }

        foreach (var name in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            if (!string.IsNullOrEmpty(Text(model, name)))
            {
                throw Fault($"sets model.{name} to '{Text(model, name)}', which is not supported.");
            }
        }

        if (Part(model, "dropout") is { } dropout && dropout.GetDouble() != 0)
        {
            throw Fault("sets model.dropout: its tokens would be random. Set it to null.");
        }

        var vocabulary = ReadVocabulary(model.GetProperty("vocab"));
        var added = ReadAddedTokens(root);
        var preTokenizer = Part(root, "pre_tokenizer");
        return new TokenizerDefinition
        {
            Vocabulary = vocabulary,
            Merges = ReadMerges(model.GetProperty("merges")),
            AddedTokens = added,
            Options = new BytePairOptions
            {
                ByteLevel = preTokenizer is { } section && HasByteLevel(section),
                IgnoreMerges = Flag(model, "ignore_merges"),
                ByteFallback = Flag(model, "byte_fallback"),
                FuseUnknown = Flag(model, "fuse_unk"),
                UnknownId = UnknownId(model, vocabulary, added),
            },
            Normalizer = Part(root, "normalizer") is { } normalizer ? ReadNormalizer(normalizer) : null,
            PreTokenizer = preTokenizer is { } splitter ? ReadPreTokenizer(splitter) : null,
            PostProcessing = Part(root, "post_processor") is { } processor ? ReadPostProcessor(processor, PostProcessing.None) : PostProcessing.None,
            Decoder = Part(root, "decoder") is { } decoder ? ReadDecoder(decoder) : null,
        };
    }

    private Dictionary<string, int> ReadVocabulary(JsonElement section)
    {
        var vocabulary = new Dictionary<string, int>(section.GetPropertyCount(), StringComparer.Ordinal);
        foreach (var entry in section.EnumerateObject())
        {
            vocabulary[entry.Name] = CheckedId(entry.Value, entry.Name);
        }

        return vocabulary.Count > 0 ? vocabulary : throw Fault("has an empty model.vocab. Fetch the file again.");
    }

    private List<(string Left, string Right)> ReadMerges(JsonElement section)
    {
        var merges = new List<(string, string)>(section.GetArrayLength());
        foreach (var merge in section.EnumerateArray())
        {
            if (merge.ValueKind == JsonValueKind.Array && merge.GetArrayLength() == 2)
            {
                merges.Add((Token(merge[0]), Token(merge[1])));
                continue;
            }

            var text = Token(merge);
            var space = text.IndexOf(' ', StringComparison.Ordinal);
            if (space < 1 || space == text.Length - 1 || text.IndexOf(' ', space + 1) >= 0)
            {
                throw Fault($"has the merge '{text}' (number {merges.Count}); a merge is two tokens with one space between. Fetch the file again.");
            }

            merges.Add((text[..space], text[(space + 1)..]));
        }

        return merges;
    }

    private static string Token(JsonElement element) => element.GetString() ?? throw new InvalidOperationException("null stands where a text is expected");

    private ImmutableArray<AddedToken> ReadAddedTokens(JsonElement root)
    {
        if (Part(root, "added_tokens") is not { } section)
        {
            return [];
        }

        var tokens = new Dictionary<string, AddedToken>(StringComparer.Ordinal);
        foreach (var token in section.EnumerateArray())
        {
            var content = Token(token.GetProperty("content"));
            var special = Flag(token, "special");
            tokens[content] = new AddedToken(
                CheckedId(token.GetProperty("id"), content),
                content,
                special,
                Flag(token, "single_word"),
                Flag(token, "lstrip"),
                Flag(token, "rstrip"),
                Part(token, "normalized")?.GetBoolean() ?? !special);
        }

        return [.. tokens.Values.OrderBy(token => token.Id)];
    }

    private int UnknownId(JsonElement model, Dictionary<string, int> vocabulary, ImmutableArray<AddedToken> added)
    {
        if (Text(model, "unk_token") is not { } unknown)
        {
            return -1;
        }

        return vocabulary.TryGetValue(unknown, out var id) ? id
            : added.FirstOrDefault(token => token.Content == unknown)?.Id
            ?? throw Fault($"names the unknown token '{unknown}', which is not in its vocabulary. Fetch the file again.");
    }

    private BoundedNormalizer ReadNormalizer(JsonElement section) => new(TypeOf(section) switch
    {
        "Sequence" => new SequenceNormalizer([.. section.GetProperty("normalizers").EnumerateArray().Select(ReadNormalizer)]),
        "NFC" => new UnicodeNormalizer(NormalizationForm.FormC),
        "NFD" => new UnicodeNormalizer(NormalizationForm.FormD),
        "NFKC" => new UnicodeNormalizer(NormalizationForm.FormKC),
        "NFKD" => new UnicodeNormalizer(NormalizationForm.FormKD),
        "Prepend" => new PrependNormalizer(Token(section.GetProperty("prepend"))),
        "Replace" => new ReplaceNormalizer(LiteralPattern(section), Token(section.GetProperty("content"))),
        var type => throw Unsupported("normalizer", type, "NFC, NFD, NFKC, NFKD, Prepend, Replace and Sequence"),
    });

    private IPreTokenizer ReadPreTokenizer(JsonElement section) => TypeOf(section) switch
    {
        "Sequence" => new SequencePreTokenizer([.. section.GetProperty("pretokenizers").EnumerateArray().Select(ReadPreTokenizer)]),
        "ByteLevel" => new ByteLevelPreTokenizer(FlagOr(section, "add_prefix_space", true), FlagOr(section, "use_regex", true)),
        "Digits" => new DigitsPreTokenizer(Flag(section, "individual_digits")),
        "Split" => ReadSplit(section),
        var type => throw Unsupported("pre_tokenizer", type, "ByteLevel, Digits, Split and Sequence"),
    };

    private SplitPreTokenizer ReadSplit(JsonElement section)
    {
        var name = Token(section.GetProperty("behavior"));
        if (!Enum.TryParse<SplitBehavior>(name, ignoreCase: false, out var behavior) || !Enum.IsDefined(behavior))
        {
            throw Unsupported("split behaviour", name, string.Join(", ", Enum.GetNames<SplitBehavior>()));
        }

        var pattern = section.GetProperty("pattern");
        return Text(pattern, "Regex") is { } regex
            ? SplitPreTokenizer.ForRegex(regex, behavior, Flag(section, "invert"))
            : SplitPreTokenizer.ForLiteral(Token(pattern.GetProperty("String")), behavior, Flag(section, "invert"));
    }

    private PostProcessing ReadPostProcessor(JsonElement section, PostProcessing before)
    {
        switch (TypeOf(section))
        {
            case "Sequence":
                return section.GetProperty("processors").EnumerateArray().Aggregate(before, (current, part) => ReadPostProcessor(part, current));
            case "ByteLevel":
                return before with { TrimOffsets = FlagOr(section, "trim_offsets", true), AddPrefixSpace = FlagOr(section, "add_prefix_space", true) };
            case "TemplateProcessing":
                return ReadTemplate(section, before);
            case var type:
                throw Unsupported("post_processor", type, "TemplateProcessing, ByteLevel and Sequence");
        }
    }

    private PostProcessing ReadTemplate(JsonElement section, PostProcessing around)
    {
        var (first, last) = (new List<int>(), new List<int>());
        var sequences = 0;
        foreach (var piece in section.GetProperty("single").EnumerateArray())
        {
            if (piece.TryGetProperty("Sequence", out _))
            {
                sequences++;
                continue;
            }

            var name = Token(piece.GetProperty("SpecialToken").GetProperty("id"));
            if (!section.GetProperty("special_tokens").TryGetProperty(name, out var token))
            {
                throw Fault($"uses '{name}' in post_processor.single, but does not list it in special_tokens. Fetch the file again.");
            }

            (sequences == 0 ? first : last).AddRange(token.GetProperty("ids").EnumerateArray().Select(id => CheckedId(id, name)));
        }

        return sequences == 1
            ? around with { Before = [.. first, .. around.Before], After = [.. around.After, .. last] }
            : throw Fault($"has {sequences} sequences in post_processor.single; exactly one is expected. Fetch the file again.");
    }

    private ITokenDecoder ReadDecoder(JsonElement section) => TypeOf(section) switch
    {
        "Sequence" => new SequenceDecoder([.. section.GetProperty("decoders").EnumerateArray().Select(ReadDecoder)]),
        "ByteLevel" => new ByteLevelDecoder(),
        "Replace" => new ReplaceDecoder(LiteralPattern(section), Token(section.GetProperty("content"))),
        "ByteFallback" => new ByteFallbackDecoder(),
        "Fuse" => new FuseDecoder(),
        "Strip" => new StripDecoder(Token(section.GetProperty("content")) is [var first, ..] ? first : throw Unsupported("Strip of", "", "one character"), section.GetProperty("start").GetInt32(), section.GetProperty("stop").GetInt32()),
        var type => throw Unsupported("decoder", type, "ByteLevel, Replace, ByteFallback, Fuse, Strip and Sequence"),
    };

    private static bool HasByteLevel(JsonElement section) => TypeOf(section) == "ByteLevel"
        || (TypeOf(section) == "Sequence" && section.GetProperty("pretokenizers").EnumerateArray().Any(HasByteLevel));

    private string LiteralPattern(JsonElement section) => Text(section.GetProperty("pattern"), "String") is { Length: > 0 } literal
        ? literal
        : throw Unsupported("Replace pattern", section.GetProperty("pattern").GetRawText(), "non-empty literals ({\"String\": …})");

    private int CheckedId(JsonElement element, string token)
    {
        var id = element.GetInt32();
        return id is >= 0 and < MaximumIds ? id : throw Fault($"gives the token '{token}' the id {id}; ids are 0 to {MaximumIds - 1}. Fetch the file again.");
    }

    private static string TypeOf(JsonElement section) => Token(section.GetProperty("type"));

    private static JsonElement? Part(JsonElement section, string name) =>
        section.TryGetProperty(name, out var part) && part.ValueKind != JsonValueKind.Null ? part : null;

    private static string? Text(JsonElement section, string name) => Part(section, name)?.GetString();

    private static bool Flag(JsonElement section, string name) => FlagOr(section, name, false);

    private static bool FlagOr(JsonElement section, string name, bool otherwise) => Part(section, name)?.GetBoolean() ?? otherwise;

    private DistTuneException Fault(string what) => new(FaultKind.InvalidFile, $"'{_file}' {what}");

    private DistTuneException Unsupported(string section, string got, string supported) =>
        Fault($"asks for the {section} '{got}', which is not supported; supported are {supported}.");
}
