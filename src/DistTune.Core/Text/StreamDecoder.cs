using System.Runtime.InteropServices;
using System.Text;

namespace DistTune.Core.Text;

/// <summary>
/// Decodes tokens one at a time. Text is given out as soon as it can no longer change: never a part of a character. Not for use from
/// several threads.
/// </summary>
public sealed class StreamDecoder
{
    private const char Replacement = '\uFFFD';

    private readonly Tokenizer _tokenizer;
    private readonly bool _skipSpecialTokens;
    private readonly bool _byteLevel;
    private readonly List<byte> _pendingBytes = [];
    private readonly List<int> _ids = [];
    private int _given;

    internal StreamDecoder(Tokenizer tokenizer, bool skipSpecialTokens, bool byteLevel)
    {
        (_tokenizer, _skipSpecialTokens, _byteLevel) = (tokenizer, skipSpecialTokens, byteLevel);
    }

    /// <summary>Takes the next token; returns the text that is new, or null if there is none yet.</summary>
    public string? Append(int id) => _byteLevel ? AppendBytes(id) : AppendWhole(id);

    /// <summary>The text that was held back, at the end of the tokens; null if there is none. The decoder starts anew.</summary>
    public string? Flush()
    {
        string text;
        if (_byteLevel)
        {
            text = Encoding.UTF8.GetString(CollectionsMarshal.AsSpan(_pendingBytes));
        }
        else
        {
            var whole = _tokenizer.Decode(_ids, _skipSpecialTokens);
            text = whole.Length > _given ? whole[_given..] : string.Empty;
        }

        _pendingBytes.Clear();
        _ids.Clear();
        _given = 0;
        return text.Length == 0 ? null : text;
    }

    /// <summary>Where a text ends in a whole character, what follows decodes apart from it: only the bytes since then are kept.</summary>
    private string? AppendBytes(int id)
    {
        if (_tokenizer.IdToToken(id) is not { } token || (_skipSpecialTokens && _tokenizer.IsSpecial(id)))
        {
            return null;
        }

        ByteLevelDecoder.AppendBytes(token, _pendingBytes);
        var text = Encoding.UTF8.GetString(CollectionsMarshal.AsSpan(_pendingBytes));
        if (text.Length == 0 || text[^1] == Replacement)
        {
            return null;
        }

        _pendingBytes.Clear();
        return text;
    }

    private string? AppendWhole(int id)
    {
        _ids.Add(id);
        var text = _tokenizer.Decode(_ids, _skipSpecialTokens);
        if (text.Length <= _given || text[^1] == Replacement)
        {
            return null;
        }

        var fresh = text[_given..];
        _given = text.Length;
        return fresh;
    }
}
