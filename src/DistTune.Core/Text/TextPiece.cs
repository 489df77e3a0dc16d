namespace DistTune.Core.Text;

/// <summary>A half-open range of UTF-16 units of a piece's text.</summary>
internal readonly record struct TextSpan(int Start, int End)
{
    internal int Length => End - Start;
}

/// <summary>
/// A stretch of text on its way through normalisers and pre-tokenizers. When offsets are wanted, it knows of every UTF-16 unit which
/// code points [start, end) of the original text it came from.
/// </summary>
internal readonly struct TextPiece
{
    private readonly int[]? _starts;
    private readonly int[]? _ends;

    internal TextPiece(string text, int[]? starts = null, int[]? ends = null)
    {
        Text = text;
        _starts = starts;
        _ends = ends;
    }

    internal string Text { get; }

    internal bool HasOffsets => _starts is not null;

    internal int StartOf(int unit) => _starts![unit];

    internal int EndOf(int unit) => _ends![unit];

    /// <summary>The whole text, each unit from its own code point.</summary>
    internal static TextPiece Create(string text, bool withOffsets)
    {
        if (!withOffsets)
        {
            return new TextPiece(text);
        }

        var starts = new int[text.Length];
        var ends = new int[text.Length];
        var codePoint = -1;
        for (var unit = 0; unit < text.Length; unit++)
        {
            if (!char.IsLowSurrogate(text[unit]))
            {
                codePoint++;
            }

            starts[unit] = codePoint;
            ends[unit] = codePoint + 1;
        }

        return new TextPiece(text, starts, ends);
    }

    internal TextPiece Slice(int start, int end) => start == 0 && end == Text.Length
        ? this
        : new TextPiece(Text[start..end], _starts?[start..end], _ends?[start..end]);
}

/// <summary>Builds the text that a normaliser makes of a piece, unit by unit, with the origin of each.</summary>
internal sealed class TextPieceBuilder(TextPiece source, int capacity)
{
    private readonly System.Text.StringBuilder _text = new(capacity);
    private readonly List<int>? _starts = source.HasOffsets ? new List<int>(capacity) : null;
    private readonly List<int>? _ends = source.HasOffsets ? new List<int>(capacity) : null;

    /// <summary>Adds text that stands for the source unit <paramref name="from"/>.</summary>
    internal void Add(ReadOnlySpan<char> text, int from)
    {
        _text.Append(text);
        for (var i = 0; _starts is not null && i < text.Length; i++)
        {
            _starts.Add(source.StartOf(from));
            _ends!.Add(source.EndOf(from));
        }
    }

    /// <summary>Adds text that nothing in the source stands for; it takes no room before the source unit <paramref name="before"/>.</summary>
    internal void Insert(ReadOnlySpan<char> text, int before)
    {
        _text.Append(text);
        for (var i = 0; _starts is not null && i < text.Length; i++)
        {
            _starts.Add(source.StartOf(before));
            _ends!.Add(source.StartOf(before));
        }
    }

    internal TextPiece Build() => new(_text.ToString(), _starts?.ToArray(), _ends?.ToArray());
}
