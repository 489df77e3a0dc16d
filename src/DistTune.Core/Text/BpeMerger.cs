using System.Text;

namespace DistTune.Core.Text;

/// <summary>
/// The loop of BPE training over counted words. Counts of pairs are kept up to date word by word; a queue holds them, stale ones are put
/// right when they come up.
/// </summary>
internal sealed class BpeMerger
{
    private readonly List<string> _tokens;
    private readonly int _minimumFrequency;
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal);
    private readonly List<(List<int> Symbols, long Count)> _words = [];
    private readonly Dictionary<(int Left, int Right), long> _counts = [];
    private readonly Dictionary<(int Left, int Right), HashSet<int>> _places = [];
    private readonly PriorityQueue<(int Left, int Right), (long Negated, int Left, int Right)> _queue = new();

    internal BpeMerger(Dictionary<string, long> words, List<string> tokens, int minimumFrequency)
    {
        _tokens = tokens;
        _minimumFrequency = Math.Max(1, minimumFrequency);
        for (var id = 0; id < tokens.Count; id++)
        {
            _ids[tokens[id]] = id;
        }

        foreach (var (word, count) in words.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            _words.Add(([.. Encoding.UTF8.GetBytes(word).Select(value => _ids[ByteAlphabet.ToCharacter(value).ToString()])], count));
        }

        for (var index = 0; index < _words.Count; index++)
        {
            var (symbols, count) = _words[index];
            for (var i = 0; i + 1 < symbols.Count; i++)
            {
                Change((symbols[i], symbols[i + 1]), count, index);
            }
        }

        foreach (var pair in _counts.Keys)
        {
            Offer(pair);
        }
    }

    /// <summary>Merges until there are <paramref name="size"/> tokens or no pair is frequent enough; new tokens are appended to the list.</summary>
    internal List<(string Left, string Right)> Run(int size)
    {
        var merges = new List<(string, string)>();
        while (_tokens.Count < size && _queue.TryDequeue(out var pair, out var priority))
        {
            var count = _counts[pair];
            if (count != -priority.Negated)
            {
                Offer(pair);
                continue;
            }

            if (count < _minimumFrequency)
            {
                break;
            }

            merges.Add((_tokens[pair.Left], _tokens[pair.Right]));
            Merge(pair, IdOf(_tokens[pair.Left] + _tokens[pair.Right]));
        }

        return merges;
    }

    /// <summary>Two pairs may make the same token: ab + c and a + bc.</summary>
    private int IdOf(string token)
    {
        if (!_ids.TryGetValue(token, out var id))
        {
            id = _tokens.Count;
            _ids[token] = id;
            _tokens.Add(token);
        }

        return id;
    }

    private void Merge((int Left, int Right) pair, int merged)
    {
        var fresh = new HashSet<(int, int)>();
        foreach (var index in _places[pair])
        {
            var (symbols, count) = _words[index];
            for (var i = 0; i + 1 < symbols.Count; i++)
            {
                if (symbols[i] != pair.Left || symbols[i + 1] != pair.Right)
                {
                    continue;
                }

                symbols[i] = merged;
                symbols.RemoveAt(i + 1);
                if (i > 0)
                {
                    Change((symbols[i - 1], pair.Left), -count, index);
                    Change((symbols[i - 1], merged), count, index);
                    fresh.Add((symbols[i - 1], merged));
                }

                if (i + 1 < symbols.Count)
                {
                    Change((pair.Right, symbols[i + 1]), -count, index);
                    Change((merged, symbols[i + 1]), count, index);
                    fresh.Add((merged, symbols[i + 1]));
                }
            }
        }

        _places.Remove(pair);
        foreach (var next in fresh)
        {
            Offer(next);
        }
    }

    private void Change((int Left, int Right) pair, long by, int word)
    {
        System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(_counts, pair, out _) += by;
        if (by > 0)
        {
            ref var places = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(_places, pair, out _);
            (places ??= []).Add(word);
        }
    }

    private void Offer((int Left, int Right) pair)
    {
        if (_counts[pair] > 0)
        {
            _queue.Enqueue(pair, (-_counts[pair], pair.Left, pair.Right));
        }
    }
}
