using System.Collections.Immutable;
using System.Text.Json.Nodes;
using DistTune.Core.Formats;

namespace DistTune.Core.Text;

/// <summary>
/// The tokenizer in a GGUF's metadata, as Hugging Face files. Byte-level vocabularies (<c>gpt2</c>) and sentencepiece's BPE (<c>llama</c>) are
/// known; a GGUF only names its pre-tokenizer, so an unknown name is an error and not a guess.
/// </summary>
public static class GgufTokenizer
{
    private const string Keys = "tokenizer.ggml.";
    private const int UnknownType = 2;
    private const int ControlType = 3;
    private const int UserDefinedType = 4;
    private const int ByteType = 6;

    /// <summary>Reads the tokenizer and the chat template.</summary>
    /// <param name="metadata">The file's metadata.</param>
    /// <exception cref="DistTuneException">Something is missing or not supported; the message names it.</exception>
    public static TokenizerJson Load(GgufMetadata metadata)
    {
        ArgumentNullException.ThrowIfNull(metadata);
        var tokens = metadata.FindStrings(Keys + "tokens") ?? throw Fault("it has no tokenizer.ggml.tokens.");
        CheckDistinct(tokens);
        var parts = metadata.FindString(Keys + "model") switch
        {
            "gpt2" => ByteLevel(metadata, tokens),
            "llama" => SentencePiece(metadata, tokens),
            var model => throw Fault($"its tokenizer.ggml.model is '{model}'; gpt2 and llama are supported."),
        };
        return TokenizerJson.Create(parts with
        {
            Bos = Role(metadata, tokens, "bos"),
            Eos = Role(metadata, tokens, "eos"),
            Pad = Role(metadata, tokens, "padding"),
            Unknown = Role(metadata, tokens, "unknown") ?? parts.Unknown,
            AddBos = (metadata.FindFlag(Keys + "add_bos_token") ?? parts.AddBos) && Role(metadata, tokens, "bos") is not null,
            AddEos = (metadata.FindFlag(Keys + "add_eos_token") ?? false) && Role(metadata, tokens, "eos") is not null,
            ChatTemplate = metadata.FindString("tokenizer.chat_template"),
            ModelMaximumLength = metadata.FindString("general.architecture") is { } architecture ? metadata.FindInteger(architecture + ".context_length") : null,
        });
    }

    private static TokenizerParts ByteLevel(GgufMetadata metadata, string[] tokens)
    {
        var merges = metadata.FindStrings(Keys + "merges") ?? throw Fault("it has no tokenizer.ggml.merges.");
        var pre = metadata.FindString(Keys + "pre") ?? "default";
        var parts = new TokenizerParts
        {
            Tokens = tokens,
            Merges = [.. merges.Select(SplitMerge)],
            AddedTokens = AddedTokens(metadata, tokens, [ControlType, UnknownType], [UserDefinedType]),
        };
        return pre switch
        {
            "smollm" => parts with { PreTokenizer = TokenizerParts.Sequence("pretokenizers", new JsonObject { ["type"] = "Digits", ["individual_digits"] = true }, TokenizerParts.ByteLevel(true)) },
            "llama-bpe" or "llama3" or "llama-v3" => parts with { PreTokenizer = Cl100k(WordScanner.Llama3Regex), IgnoreMerges = true, AddBos = true },
            "qwen2" or "deepseek-r1-qwen" => parts with { PreTokenizer = Cl100k(WordScanner.Qwen2Regex), Normalizer = new JsonObject { ["type"] = "NFC" } },
            "gpt-2" or "phi-2" or "mpt" or "olmo" => parts with { PreTokenizer = TokenizerParts.ByteLevel(true) },
            "default" => parts with { PreTokenizer = LlamaCppDefault() },
            _ => throw Fault($"its tokenizer.ggml.pre is '{pre}'; smollm, llama-bpe, qwen2, gpt-2 and default are supported. Put the model's own tokenizer.json and tokenizer_config.json beside the imported weights."),
        };
    }

    private static JsonNode Cl100k(string regex) => TokenizerParts.Sequence("pretokenizers", TokenizerParts.Split(regex), TokenizerParts.ByteLevel(false));

    /// <summary>What llama.cpp does where a file names no pre-tokenizer: signs apart, then GPT-2's words, then digits by three.</summary>
    private static JsonNode LlamaCppDefault() => TokenizerParts.Sequence(
        "pretokenizers",
        TokenizerParts.Split(@"[\p{P}\$\+<=>\^~\|]+"),
        TokenizerParts.Split(WordScanner.Gpt2Regex),
        TokenizerParts.Split(@"\p{N}+"),
        TokenizerParts.Split("[0-9][0-9][0-9]"),
        TokenizerParts.ByteLevel(false));

    private static TokenizerParts SentencePiece(GgufMetadata metadata, string[] tokens)
    {
        var scores = metadata.FindNumbers(Keys + "scores");
        if (scores is null || scores.Length != tokens.Length)
        {
            throw Fault(FormattableString.Invariant($"it has {tokens.Length} tokens and {scores?.Length ?? 0} tokenizer.ggml.scores; each token needs one."));
        }

        var types = Types(metadata, tokens);
        var unknown = Array.FindIndex(types, type => type == UnknownType) is var index and >= 0 ? tokens[index] : throw Fault("none of its tokens is the unknown token.");
        var prefix = metadata.FindFlag(Keys + "add_space_prefix") ?? true;
        var replace = new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = " " }, ["content"] = "▁" };
        return new TokenizerParts
        {
            Tokens = tokens,
            Merges = MergesOf(tokens, scores, types),
            AddedTokens = AddedTokens(metadata, tokens, [ControlType, UnknownType], [UserDefinedType]),
            ByteFallback = true,
            Unknown = unknown,
            AddBos = true,
            Normalizer = prefix ? TokenizerParts.Sequence("normalizers", new JsonObject { ["type"] = "Prepend", ["prepend"] = "▁" }, replace) : replace,
            Decoder = Decoder(prefix),
        };
    }

    private static JsonNode Decoder(bool stripPrefix)
    {
        List<JsonNode> parts =
        [
            new JsonObject { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = "▁" }, ["content"] = " " },
            new JsonObject { ["type"] = "ByteFallback" },
            new JsonObject { ["type"] = "Fuse" },
        ];
        if (stripPrefix)
        {
            parts.Add(new JsonObject { ["type"] = "Strip", ["content"] = " ", ["start"] = 1, ["stop"] = 0 });
        }

        return TokenizerParts.Sequence("decoders", [.. parts]);
    }

    /// <summary>A piece's rank is its score; every way to make it from two pieces is a merge.</summary>
    private static List<(string Left, string Right)> MergesOf(string[] tokens, float[] scores, int[] types)
    {
        var ids = new Dictionary<string, int>(tokens.Length, StringComparer.Ordinal);
        for (var id = 0; id < tokens.Length; id++)
        {
            ids[tokens[id]] = id;
        }

        var lookup = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        var ways = new List<(float Score, int Piece, int Left, int Right)>();
        for (var piece = 0; piece < tokens.Length; piece++)
        {
            if (types[piece] is ControlType or UnknownType or ByteType)
            {
                continue;
            }

            var text = tokens[piece].AsSpan();
            for (var cut = 1; cut < text.Length; cut++)
            {
                if (lookup.TryGetValue(text[..cut], out var left) && lookup.TryGetValue(text[cut..], out var right))
                {
                    ways.Add((scores[piece], piece, left, right));
                }
            }
        }

        return [.. ways.OrderByDescending(way => way.Score).ThenBy(way => way.Piece).ThenBy(way => way.Left).ThenBy(way => way.Right).Select(way => (tokens[way.Left], tokens[way.Right]))];
    }

    private static ImmutableArray<AddedToken> AddedTokens(GgufMetadata metadata, string[] tokens, int[] special, int[] plain)
    {
        var types = Types(metadata, tokens);
        return
        [
            .. Enumerable.Range(0, tokens.Length)
                .Where(id => special.Contains(types[id]) || plain.Contains(types[id]))
                .Select(id => new AddedToken(id, tokens[id], special.Contains(types[id]))),
        ];
    }

    private static int[] Types(GgufMetadata metadata, string[] tokens)
    {
        var types = metadata.FindIntegers(Keys + "token_type");
        return types is not null && types.Length == tokens.Length
            ? types
            : throw Fault(FormattableString.Invariant($"it has {tokens.Length} tokens and {types?.Length ?? 0} tokenizer.ggml.token_type; each token needs one."));
    }

    private static (string Left, string Right) SplitMerge(string merge)
    {
        // A token never begins with a space in the byte alphabet, so the first space after the first character parts the two.
        var space = merge.IndexOf(' ', Math.Min(1, merge.Length));
        return space > 0 && space < merge.Length - 1 ? (merge[..space], merge[(space + 1)..]) : throw Fault($"its merge '{merge}' is not two tokens with a space between.");
    }

    private static string? Role(GgufMetadata metadata, string[] tokens, string role)
    {
        var key = $"{Keys}{role}_token_id";
        return metadata.FindInteger(key) is not { } id ? null
            : id >= 0 && id < tokens.Length ? tokens[id]
            : throw Fault(FormattableString.Invariant($"its {key} is {id}, but it has {tokens.Length} tokens."));
    }

    private static void CheckDistinct(string[] tokens)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        if (Array.Find(tokens, token => !seen.Add(token)) is { } repeated)
        {
            throw Fault($"its token '{repeated}' is there twice.");
        }
    }

    private static DistTuneException Fault(string what) => new(FaultKind.InvalidFile, $"The GGUF's tokenizer cannot be used: {what}");
}
