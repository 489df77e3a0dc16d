using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text;

namespace DistTune.Core.Text;

/// <summary>Tokens of a text with where each came from.</summary>
/// <param name="Ids">The tokens.</param>
/// <param name="Offsets">
/// [start, end) of each token in code points (not UTF-16 units) of the original text; (0, 0) for special tokens that were added.
/// </param>
public sealed record TokenEncoding(ImmutableArray<int> Ids, ImmutableArray<(int Start, int End)> Offsets);

/// <summary>
/// A byte-pair tokenizer as Hugging Face's <c>tokenizer.json</c> describes it. Immutable and safe to use from several threads.
/// </summary>
public sealed class Tokenizer
{
    private readonly TokenizerDefinition _definition;
    private readonly BytePairModel _model;
    private readonly string?[] _byId;
    private readonly Dictionary<string, AddedToken> _added;
    private readonly HashSet<int> _special;
    private readonly AddedTokenMatcher? _rawMatcher;
    private readonly AddedTokenMatcher? _normalizedMatcher;

    internal Tokenizer(TokenizerDefinition definition, SpecialTokenNames special, string hash)
    {
        _definition = definition;
        SpecialTokens = special;
        Hash = hash;
        _model = new BytePairModel(definition.Vocabulary, ResolveMerges(definition), definition.Options);
        _added = definition.AddedTokens.ToDictionary(token => token.Content, StringComparer.Ordinal);
        _special = definition.AddedTokens.Where(token => token.Special).Select(token => token.Id).ToHashSet();
        var count = 1 + Math.Max(definition.Vocabulary.Values.DefaultIfEmpty(-1).Max(), definition.AddedTokens.Select(token => token.Id).DefaultIfEmpty(-1).Max());
        _byId = new string?[count];
        foreach (var (token, id) in definition.Vocabulary)
        {
            _byId[id] = token;
        }

        foreach (var token in definition.AddedTokens)
        {
            _byId[token.Id] = token.Content;
        }

        _rawMatcher = Matcher(definition.AddedTokens.Where(token => !token.Normalized), null);
        _normalizedMatcher = Matcher(definition.AddedTokens.Where(token => token.Normalized), definition.Normalizer);
    }

    /// <summary>One more than the largest id: the rows that an embedding must at least have.</summary>
    public int VocabularySize => _byId.Length;

    /// <summary>The tokens that are cut out of the text before anything else.</summary>
    public ImmutableArray<AddedToken> AddedTokens => _definition.AddedTokens;

    /// <summary>Texts of the tokens with a role.</summary>
    public SpecialTokenNames SpecialTokens { get; }

    /// <summary>Lower-case hexadecimal SHA-256 of the files the tokenizer was read from.</summary>
    public string Hash { get; }

    /// <summary>Id of the begin-of-text token, if there is one.</summary>
    public int? BosId => IdOfRole(SpecialTokens.Bos);

    /// <summary>Id of the token that ends a text or a turn, if there is one.</summary>
    public int? EosId => IdOfRole(SpecialTokens.Eos);

    /// <summary>Id of the padding token, if there is one.</summary>
    public int? PadId => IdOfRole(SpecialTokens.Pad);

    /// <summary>Id of the unknown token, if there is one.</summary>
    public int? UnknownId => IdOfRole(SpecialTokens.Unknown);

    internal TokenizerDefinition Definition => _definition;

    /// <summary>Reads <c>tokenizer.json</c>, and beside it <c>tokenizer_config.json</c> and <c>special_tokens_map.json</c> if they exist.</summary>
    /// <param name="path">The folder, or the tokenizer.json itself.</param>
    /// <exception cref="DistTuneException">The file is missing, is no tokenizer, or asks for something that is not supported.</exception>
    public static Tokenizer Load(string path) => TokenizerFiles.Load(path);

    /// <summary>Id of a token given by its text in the vocabulary (not by what it decodes to), or null.</summary>
    public int? TokenToId(string token) =>
        _added.TryGetValue(token, out var added) ? added.Id : _definition.Vocabulary.TryGetValue(token, out var id) ? id : null;

    /// <summary>Text of a token in the vocabulary (byte-level tokens in their printable alphabet), or null.</summary>
    public string? IdToToken(int id) => (uint)id < (uint)_byId.Length ? _byId[id] : null;

    /// <summary>Whether decoding may skip a token.</summary>
    public bool IsSpecial(int id) => _special.Contains(id);

    /// <summary>
    /// Tokens of a text. Special tokens written in the text are recognised always; <paramref name="addSpecialTokens"/> says whether
    /// the tokenizer's own (begin of text, …) are put around it. A rendered chat is encoded without: its template writes them.
    /// </summary>
    public int[] Encode(string text, bool addSpecialTokens)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>((text.Length / 3) + 8);
        if (addSpecialTokens)
        {
            ids.AddRange(_definition.PostProcessing.Before);
        }

        EncodePieces(TextPiece.Create(WellFormed(text), withOffsets: false), ids, null);
        if (addSpecialTokens)
        {
            ids.AddRange(_definition.PostProcessing.After);
        }

        return ids.ToArray();
    }

    /// <summary>Tokens of a text with where each came from; slower than <see cref="Encode"/>.</summary>
    public TokenEncoding EncodeWithOffsets(string text, bool addSpecialTokens)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>();
        var offsets = new List<(int, int)>();
        var around = addSpecialTokens ? _definition.PostProcessing : PostProcessing.None;
        EncodePieces(TextPiece.Create(WellFormed(text), withOffsets: true), ids, offsets);
        if (_definition.PostProcessing.TrimOffsets)
        {
            TrimOffsets(ids, offsets);
        }

        return new TokenEncoding(
            [.. around.Before, .. ids, .. around.After],
            [.. around.Before.Select(_ => (0, 0)), .. offsets, .. around.After.Select(_ => (0, 0))]);
    }

    /// <summary>Text of tokens. Ids outside the vocabulary stand for nothing; bytes that are not UTF-8 become U+FFFD.</summary>
    public string Decode(IEnumerable<int> ids, bool skipSpecialTokens)
    {
        ArgumentNullException.ThrowIfNull(ids);
        var tokens = new List<string>();
        foreach (var id in ids)
        {
            if (IdToToken(id) is { } token && !(skipSpecialTokens && _special.Contains(id)))
            {
                tokens.Add(token);
            }
        }

        return _definition.Decoder is null ? string.Join(' ', tokens) : string.Concat(_definition.Decoder.Apply(tokens));
    }

    /// <summary>A decoder that takes one token at a time.</summary>
    public StreamDecoder CreateStreamDecoder(bool skipSpecialTokens) => new(this, skipSpecialTokens, _definition.Decoder is ByteLevelDecoder);

    private static AddedTokenMatcher? Matcher(IEnumerable<AddedToken> tokens, INormalizer? normalizer)
    {
        var entries = tokens.Select(token => (normalizer?.Apply(new TextPiece(token.Content)).Text ?? token.Content, token)).ToList();
        return entries.Count == 0 ? null : new AddedTokenMatcher(entries);
    }

    private static List<(int Left, int Right, int Result)> ResolveMerges(TokenizerDefinition definition)
    {
        var merges = new List<(int, int, int)>(definition.Merges.Count);
        var vocabulary = definition.Vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        Span<char> joined = stackalloc char[256];
        foreach (var (left, right) in definition.Merges)
        {
            var length = left.Length + right.Length;
            var whole = length <= joined.Length ? joined[..length] : new char[length];
            left.CopyTo(whole);
            right.CopyTo(whole[left.Length..]);
            if (!definition.Vocabulary.TryGetValue(left, out var leftId) || !definition.Vocabulary.TryGetValue(right, out var rightId) || !vocabulary.TryGetValue(whole, out var result))
            {
                throw new DistTuneException(
                    FaultKind.InvalidFile,
                    $"Merge {merges.Count} of the tokenizer joins '{left}' and '{right}', but '{left}', '{right}' or '{whole}' is not in its vocabulary. The file is damaged; fetch it again.");
            }

            merges.Add((leftId, rightId, result));
        }

        return merges;
    }

    /// <summary>A lone surrogate is no character; it becomes U+FFFD, as it would on its way through UTF-8.</summary>
    private static string WellFormed(string text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            if (char.IsSurrogate(text[i]))
            {
                if (i + 1 >= text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
                {
                    return Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
                }

                i++;
            }
        }

        return text;
    }

    private int? IdOfRole(string? token) => token is null ? null : TokenToId(token);

    private void EncodePieces(TextPiece text, List<int> ids, List<(int Start, int End)>? offsets)
    {
        ForEachPiece(text, _rawMatcher, ids, offsets, raw =>
        {
            var normalized = _definition.Normalizer?.Apply(raw) ?? raw;
            ForEachPiece(normalized, _normalizedMatcher, ids, offsets, piece => EncodeWords(piece, ids, offsets));
        });
    }

    /// <summary>Hands over the stretches between added tokens, and emits the added tokens themselves.</summary>
    private static void ForEachPiece(TextPiece text, AddedTokenMatcher? matcher, List<int> ids, List<(int Start, int End)>? offsets, Action<TextPiece> take)
    {
        var free = 0;
        foreach (var (span, token) in matcher?.Find(text.Text) ?? [])
        {
            if (span.Start > free)
            {
                take(text.Slice(free, span.Start));
            }

            ids.Add(token.Id);
            offsets?.Add((text.StartOf(span.Start), text.EndOf(span.End - 1)));
            free = span.End;
        }

        if (free < text.Text.Length)
        {
            take(text.Slice(free, text.Text.Length));
        }
    }

    private void EncodeWords(TextPiece piece, List<int> ids, List<(int Start, int End)>? offsets)
    {
        var spans = new List<TextSpan> { new(0, piece.Text.Length) };
        piece = _definition.PreTokenizer?.Split(piece, ref spans) ?? piece;
        var text = piece.Text.AsSpan();
        foreach (var span in CollectionsMarshal.AsSpan(spans))
        {
            if (offsets is null)
            {
                _model.Encode(text[span.Start..span.End], ids);
            }
            else
            {
                EncodeWordWithOffsets(piece, span, ids, offsets);
            }
        }
    }

    private void EncodeWordWithOffsets(TextPiece piece, TextSpan span, List<int> ids, List<(int Start, int End)> offsets)
    {
        var lengths = new List<int>();
        _model.EncodeUncached(piece.Text.AsSpan(span.Start, span.Length), ids, lengths);

        // Tokens count UTF-8 bytes of the word in the model's alphabet; each byte belongs to the code point it was made from.
        var units = new List<int>(span.Length * 2);
        Span<byte> buffer = stackalloc byte[4];
        for (var unit = span.Start; unit < span.End;)
        {
            Rune.DecodeFromUtf16(piece.Text.AsSpan(unit), out var rune, out var consumed);
            var bytes = rune.EncodeToUtf8(buffer);
            foreach (var value in buffer[..bytes])
            {
                var width = !_definition.Options.ByteLevel || ByteAlphabet.ToCharacter(value) < 0x80 ? 1 : 2;
                for (var i = 0; i < width; i++)
                {
                    units.Add(unit);
                }
            }

            unit += consumed;
        }

        var position = 0;
        foreach (var length in lengths)
        {
            offsets.Add((piece.StartOf(units[position]), piece.EndOf(units[position + length - 1])));
            position += length;
        }
    }

    private void TrimOffsets(List<int> ids, List<(int Start, int End)> offsets)
    {
        for (var i = 0; i < ids.Count; i++)
        {
            var token = _byId[ids[i]]!;
            var space = ByteAlphabet.ToCharacter((byte)' ');
            var leading = token.TakeWhile(unit => unit == space || char.IsWhiteSpace(unit)).Count();
            var trailing = token.Reverse().TakeWhile(unit => unit == space || char.IsWhiteSpace(unit)).Count();
            var (start, end) = offsets[i];
            if ((i == 0 || start == 0) && _definition.PostProcessing.AddPrefixSpace)
            {
                leading = Math.Max(0, leading - 1);
            }

            start = Math.Min(start + leading, end);
            offsets[i] = (start, end >= trailing ? Math.Max(end - trailing, start) : end);
        }
    }
}
