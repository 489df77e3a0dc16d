using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace DistTune.Core.Text;

/// <summary>What a new tokenizer is to be like.</summary>
/// <param name="VocabularySize">Tokens in all: special tokens, 256 bytes and merges. Fewer come out where the texts hold no more pairs.</param>
/// <param name="SpecialTokens">Special tokens; they get the ids from 0 on, in this order.</param>
public sealed record BpeTrainerSettings(int VocabularySize, ImmutableArray<string> SpecialTokens)
{
    /// <summary>Begins a text; one of the special tokens or null. It is named, not added to texts.</summary>
    public string? Bos { get; init; }

    /// <summary>Ends a text or a turn; one of the special tokens or null.</summary>
    public string? Eos { get; init; }

    /// <summary>Fills rows up; one of the special tokens or null.</summary>
    public string? Pad { get; init; }

    /// <summary>The chat template to be written along.</summary>
    public string? ChatTemplate { get; init; }

    /// <summary>Longest sequence of the model, written along.</summary>
    public long? ModelMaximumLength { get; init; }

    /// <summary>A pair that occurs less often is not merged.</summary>
    public int MinimumFrequency { get; init; } = 1;

    /// <summary>A regular expression that cuts words, instead of GPT-2's.</summary>
    public string? SplitPattern { get; init; }

    /// <summary>Whether texts are composed (NFC) first.</summary>
    public bool Compose { get; init; }
}

/// <summary>
/// Trains a byte-level BPE tokenizer: the most frequent neighbouring pair becomes a token, until the vocabulary is full. Of equally frequent
/// pairs the one of the smaller ids comes first, so the result depends on the texts' words alone.
/// </summary>
public static class BpeTrainer
{
    /// <summary>Trains with GPT-2's pre-tokenizer and without named tokens.</summary>
    public static TokenizerJson Train(IEnumerable<string> texts, int vocabularySize, ImmutableArray<string> specialTokens) =>
        Train(texts, new BpeTrainerSettings(vocabularySize, specialTokens));

    /// <summary>Trains on texts; special tokens that they spell out are left out of the words.</summary>
    /// <exception cref="DistTuneException">The vocabulary is too small, or a special token is empty, repeated, or named and not listed.</exception>
    public static TokenizerJson Train(IEnumerable<string> texts, BpeTrainerSettings settings)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentNullException.ThrowIfNull(settings);
        Check(settings);
        ImmutableArray<AddedToken> added = [.. settings.SpecialTokens.Select((token, index) => new AddedToken(index, token, Special: true))];
        var tokens = settings.SpecialTokens.ToList();
        tokens.AddRange(Enumerable.Range(0, 256).Select(value => ByteAlphabet.ToCharacter((byte)value)).Order().Select(character => character.ToString()));
        var merges = new BpeMerger(CountWords(texts, settings, added), tokens, settings.MinimumFrequency).Run(settings.VocabularySize);
        return TokenizerJson.Create(new TokenizerParts
        {
            Tokens = tokens,
            Merges = merges,
            AddedTokens = added,
            Normalizer = settings.Compose ? new JsonObject { ["type"] = "NFC" } : null,
            PreTokenizer = settings.SplitPattern is { } pattern
                ? TokenizerParts.Sequence("pretokenizers", TokenizerParts.Split(pattern), TokenizerParts.ByteLevel(useRegex: false))
                : TokenizerParts.ByteLevel(useRegex: true),
            Bos = settings.Bos,
            Eos = settings.Eos,
            Pad = settings.Pad,
            ChatTemplate = settings.ChatTemplate,
            ModelMaximumLength = settings.ModelMaximumLength,
        });
    }

    private static void Check(BpeTrainerSettings settings)
    {
        var smallest = 256 + settings.SpecialTokens.Length;
        if (settings.VocabularySize < smallest || settings.VocabularySize > 1 << 20)
        {
            throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"vocabulary_size must be from {smallest} (256 bytes and the special tokens) to {1 << 20}, got {settings.VocabularySize}."));
        }

        if (settings.SpecialTokens.Any(string.IsNullOrEmpty) || settings.SpecialTokens.Distinct(StringComparer.Ordinal).Count() != settings.SpecialTokens.Length)
        {
            throw new DistTuneException(FaultKind.Configuration, $"special_tokens must be distinct texts, got {string.Join(", ", settings.SpecialTokens.Select(token => $"'{token}'"))}.");
        }

        foreach (var token in new[] { settings.Bos, settings.Eos, settings.Pad })
        {
            if (token is not null && !settings.SpecialTokens.Contains(token, StringComparer.Ordinal))
            {
                throw new DistTuneException(FaultKind.Configuration, $"The token '{token}' has a role but is not in special_tokens. Add it there.");
            }
        }
    }

    private static Dictionary<string, long> CountWords(IEnumerable<string> texts, BpeTrainerSettings settings, ImmutableArray<AddedToken> added)
    {
        var matcher = added.IsEmpty ? null : new AddedTokenMatcher(added.Select(token => (token.Content, token)));
        IPreTokenizer splitter = settings.SplitPattern is { } pattern ? SplitPreTokenizer.ForRegex(pattern, SplitBehavior.Isolated, invert: false) : new ByteLevelPreTokenizer(false, true);
        var normalizer = settings.Compose ? new UnicodeNormalizer(System.Text.NormalizationForm.FormC) : null;
        var counts = new Dictionary<string, long>(StringComparer.Ordinal);
        var lookup = counts.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach (var text in texts)
        {
            var free = 0;
            foreach (var (span, _) in matcher?.Find(text) ?? [])
            {
                Count(text[free..span.Start]);
                free = span.End;
            }

            Count(text[free..]);
        }

        return counts;

        void Count(string stretch)
        {
            if (stretch.Length == 0)
            {
                return;
            }

            var piece = new TextPiece(stretch);
            piece = normalizer?.Apply(piece) ?? piece;
            var spans = new List<TextSpan> { new(0, piece.Text.Length) };
            piece = splitter.Split(piece, ref spans);
            foreach (var word in spans)
            {
                System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(lookup, piece.Text.AsSpan(word.Start, word.Length), out _)++;
            }
        }
    }
}
