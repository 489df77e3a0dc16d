using System.Buffers;
using System.Text;

namespace DistTune.Core.Text;

/// <summary>How a <see cref="BytePairModel"/> treats what is not in its vocabulary.</summary>
internal sealed record BytePairOptions
{
    /// <summary>Words are cut into UTF-8 bytes, written in <see cref="ByteAlphabet"/>; otherwise into code points.</summary>
    public required bool ByteLevel { get; init; }

    /// <summary>A word that is in the vocabulary is taken whole, before any merge.</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>A symbol that is not in the vocabulary is written as tokens of the form &lt;0x41&gt;.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>Neighbouring unknown symbols become one unknown token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>The unknown token, or -1: unknown symbols then vanish, as they do in the reference implementation.</summary>
    public int UnknownId { get; init; } = -1;
}

/// <summary>
/// Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909): the neighbouring pair of the lowest rank is merged, leftmost first, until
/// none is left. Long words use a heap, so that time grows with n log n.
/// </summary>
internal sealed class BytePairModel
{
    private const int ShortWord = 48;
    private const int CachedWord = 40;

    private readonly Dictionary<string, int> _vocabulary;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private readonly MergeTable _merges;
    private readonly BytePairOptions _options;
    private readonly int[] _byteIds = new int[256];

    // Direct-mapped; a slot is one reference, so threads may race on it without harm.
    private readonly CachedEncoding?[] _cache = new CachedEncoding?[1 << 15];

    internal BytePairModel(Dictionary<string, int> vocabulary, IReadOnlyList<(int Left, int Right, int Result)> merges, BytePairOptions options)
    {
        _vocabulary = vocabulary;
        _lookup = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        _merges = new MergeTable(merges);
        _options = options;
        for (var value = 0; value < 256; value++)
        {
            var symbol = options.ByteLevel
                ? ByteAlphabet.ToCharacter((byte)value).ToString()
                : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"<0x{value:X2}>");
            _byteIds[value] = vocabulary.GetValueOrDefault(symbol, -1);
        }
    }

    private sealed record CachedEncoding(string Word, int[] Ids);

    private struct Symbol
    {
        internal int Id;
        internal int Length;
        internal int Previous;
        internal int Next;
    }

    /// <summary>Appends the tokens of a word.</summary>
    internal void Encode(ReadOnlySpan<char> word, List<int> ids)
    {
        if (word.Length > CachedWord)
        {
            EncodeUncached(word, ids, null);
            return;
        }

        var slot = (int)((uint)string.GetHashCode(word, StringComparison.Ordinal) % (uint)_cache.Length);
        var cached = Volatile.Read(ref _cache[slot]);
        if (cached is null || !word.SequenceEqual(cached.Word))
        {
            var fresh = new List<int>();
            EncodeUncached(word, fresh, null);
            cached = new CachedEncoding(word.ToString(), fresh.ToArray());
            Volatile.Write(ref _cache[slot], cached);
        }

        ids.AddRange(cached.Ids);
    }

    /// <summary>Appends the tokens of a word and, of each, how many UTF-8 bytes it takes of the word as written in the model's alphabet.</summary>
    internal void EncodeUncached(ReadOnlySpan<char> word, List<int> ids, List<int>? lengths)
    {
        if (_options.IgnoreMerges && FindWhole(word, out var whole, out var wholeLength))
        {
            ids.Add(whole);
            lengths?.Add(wholeLength);
            return;
        }

        var symbols = ArrayPool<Symbol>.Shared.Rent(Math.Max(16, checked(word.Length * 3)));
        try
        {
            var count = _options.ByteLevel ? AddBytes(word, symbols) : AddCodePoints(word, symbols);
            count = count <= ShortWord ? MergeShort(symbols.AsSpan(0, count)) : MergeLong(symbols.AsSpan(0, count));
            for (var i = 0; i < count; i++)
            {
                ids.Add(symbols[i].Id);
                lengths?.Add(symbols[i].Length);
            }
        }
        finally
        {
            ArrayPool<Symbol>.Shared.Return(symbols);
        }
    }

    private bool FindWhole(ReadOnlySpan<char> word, out int id, out int length)
    {
        if (!_options.ByteLevel)
        {
            length = Encoding.UTF8.GetByteCount(word);
            return _lookup.TryGetValue(word, out id);
        }

        var bytes = Encoding.UTF8.GetByteCount(word);
        var mapped = bytes <= 256 ? stackalloc char[bytes] : new char[bytes];
        var buffer = bytes <= 256 ? stackalloc byte[bytes] : new byte[bytes];
        Encoding.UTF8.GetBytes(word, buffer);
        for (var i = 0; i < bytes; i++)
        {
            mapped[i] = ByteAlphabet.ToCharacter(buffer[i]);
        }

        length = Encoding.UTF8.GetByteCount(mapped);
        return _lookup.TryGetValue(mapped, out id);
    }

    private int AddBytes(ReadOnlySpan<char> word, Symbol[] symbols)
    {
        var count = 0;
        Span<byte> buffer = stackalloc byte[4];
        foreach (var rune in word.EnumerateRunes())
        {
            var length = rune.EncodeToUtf8(buffer);
            foreach (var value in buffer[..length])
            {
                count = AddSymbol(symbols, count, _byteIds[value], ByteAlphabet.ToCharacter(value) < 0x80 ? 1 : 2);
            }
        }

        return count;
    }

    private int AddCodePoints(ReadOnlySpan<char> word, Symbol[] symbols)
    {
        var count = 0;
        Span<char> units = stackalloc char[2];
        Span<byte> buffer = stackalloc byte[4];
        foreach (var rune in word.EnumerateRunes())
        {
            var length = rune.Utf8SequenceLength;
            if (_lookup.TryGetValue(units[..rune.EncodeToUtf16(units)], out var id))
            {
                count = AddSymbol(symbols, count, id, length);
                continue;
            }

            rune.EncodeToUtf8(buffer);
            if (_options.ByteFallback && !buffer[..length].ContainsAnyExcept(KnownBytes))
            {
                foreach (var value in buffer[..length])
                {
                    count = AddSymbol(symbols, count, _byteIds[value], 1);
                }
            }
            else
            {
                count = AddSymbol(symbols, count, -1, length);
            }
        }

        return count;
    }

    private SearchValues<byte> KnownBytes => field ??= SearchValues.Create(
        Enumerable.Range(0, 256).Where(value => _byteIds[value] >= 0).Select(value => (byte)value).ToArray());

    private int AddSymbol(Symbol[] symbols, int count, int id, int length)
    {
        if (id < 0)
        {
            if (_options.UnknownId < 0)
            {
                return count;
            }

            id = _options.UnknownId;
            if (_options.FuseUnknown && count > 0 && symbols[count - 1].Id == id)
            {
                symbols[count - 1].Length += length;
                return count;
            }
        }

        symbols[count] = new Symbol { Id = id, Length = length };
        return count + 1;
    }

    private int MergeShort(Span<Symbol> symbols)
    {
        var count = symbols.Length;
        Span<int> ranks = stackalloc int[ShortWord];
        for (var i = 0; i + 1 < count; i++)
        {
            ranks[i] = _merges.Find(symbols[i].Id, symbols[i + 1].Id, out _);
        }

        while (count > 1)
        {
            var best = 0;
            for (var i = 1; i + 1 < count; i++)
            {
                if (ranks[i] < ranks[best])
                {
                    best = i;
                }
            }

            if (ranks[best] == MergeTable.NoMerge)
            {
                break;
            }

            _merges.Find(symbols[best].Id, symbols[best + 1].Id, out var result);
            symbols[best].Id = result;
            symbols[best].Length += symbols[best + 1].Length;
            symbols[(best + 2)..count].CopyTo(symbols[(best + 1)..]);
            ranks[(best + 2)..count].CopyTo(ranks[(best + 1)..]);
            count--;
            if (best > 0)
            {
                ranks[best - 1] = _merges.Find(symbols[best - 1].Id, result, out _);
            }

            if (best + 1 < count)
            {
                ranks[best] = _merges.Find(result, symbols[best + 1].Id, out _);
            }
        }

        return count;
    }

    private int MergeLong(Span<Symbol> symbols)
    {
        // Keys are (rank, position); an entry is stale unless its pair still merges with that rank.
        var queue = new PriorityQueue<int, (int Rank, int Position)>(symbols.Length);
        for (var i = 0; i < symbols.Length; i++)
        {
            symbols[i].Previous = i - 1;
            symbols[i].Next = i + 1 < symbols.Length ? i + 1 : -1;
            Offer(queue, symbols, i);
        }

        while (queue.TryDequeue(out var left, out var priority))
        {
            var right = symbols[left].Next;
            if (symbols[left].Length == 0 || right < 0 || _merges.Find(symbols[left].Id, symbols[right].Id, out var result) != priority.Rank)
            {
                continue;
            }

            symbols[left].Id = result;
            symbols[left].Length += symbols[right].Length;
            symbols[left].Next = symbols[right].Next;
            symbols[right].Length = 0;
            if (symbols[left].Next >= 0)
            {
                symbols[symbols[left].Next].Previous = left;
                Offer(queue, symbols, left);
            }

            if (symbols[left].Previous >= 0)
            {
                Offer(queue, symbols, symbols[left].Previous);
            }
        }

        var count = 0;
        foreach (var symbol in symbols)
        {
            if (symbol.Length > 0)
            {
                symbols[count++] = symbol;
            }
        }

        return count;
    }

    private void Offer(PriorityQueue<int, (int Rank, int Position)> queue, Span<Symbol> symbols, int left)
    {
        var right = symbols[left].Next;
        if (right < 0)
        {
            return;
        }

        var rank = _merges.Find(symbols[left].Id, symbols[right].Id, out _);
        if (rank != MergeTable.NoMerge)
        {
            queue.Enqueue(left, (rank, left));
        }
    }
}
