using System.Globalization;
using System.Text;

namespace DistTune.Core.Text;

/// <summary>Rewrites the text between special tokens before it is cut into words.</summary>
internal interface INormalizer
{
    TextPiece Apply(TextPiece piece);
}

internal sealed class SequenceNormalizer(IReadOnlyList<INormalizer> parts) : INormalizer
{
    public TextPiece Apply(TextPiece piece)
    {
        var result = piece;
        foreach (var part in parts)
        {
            result = BoundedNormalizer.Checked(piece, part.Apply(result));
        }

        return result;
    }
}

/// <summary>Refuses a rewriting that makes far more text than it was given, such as a chain of replacements that each double it.</summary>
internal sealed class BoundedNormalizer(INormalizer inner) : INormalizer
{
    private const int Allowance = 1 << 16;
    private const int MostGrowth = 64;

    public TextPiece Apply(TextPiece piece) => Checked(piece, inner.Apply(piece));

    internal static TextPiece Checked(TextPiece before, TextPiece after) =>
        after.Text.Length <= Allowance + ((long)MostGrowth * before.Text.Length)
            ? after
            : throw new DistTuneException(
                FaultKind.InvalidFile,
                string.Create(CultureInfo.InvariantCulture, $"The tokenizer's normalizer makes {after.Text.Length} characters of {before.Text.Length}. Use a tokenizer that does not."));
}

/// <summary>Puts a text before every non-empty piece.</summary>
internal sealed class PrependNormalizer(string prefix) : INormalizer
{
    public TextPiece Apply(TextPiece piece)
    {
        if (piece.Text.Length == 0)
        {
            return piece;
        }

        var builder = new TextPieceBuilder(piece, piece.Text.Length + prefix.Length);

        // The prefix has the offsets of the character that it stands before.
        builder.Add(prefix, 0);
        for (var unit = 0; unit < piece.Text.Length; unit++)
        {
            builder.Add(piece.Text.AsSpan(unit, 1), unit);
        }

        return builder.Build();
    }
}

/// <summary>Replaces every occurrence of a literal.</summary>
internal sealed class ReplaceNormalizer(string pattern, string content) : INormalizer
{
    public TextPiece Apply(TextPiece piece)
    {
        if (!piece.Text.Contains(pattern, StringComparison.Ordinal))
        {
            return piece;
        }

        if (!piece.HasOffsets)
        {
            return new TextPiece(piece.Text.Replace(pattern, content, StringComparison.Ordinal));
        }

        var builder = new TextPieceBuilder(piece, piece.Text.Length);
        for (var unit = 0; unit < piece.Text.Length;)
        {
            if (piece.Text.AsSpan(unit).StartsWith(pattern, StringComparison.Ordinal))
            {
                builder.Add(content, unit);
                unit += pattern.Length;
            }
            else
            {
                builder.Add(piece.Text.AsSpan(unit, 1), unit);
                unit++;
            }
        }

        return builder.Build();
    }
}

/// <summary>A Unicode normalisation form. A composed character has the offsets of its base character alone.</summary>
internal sealed class UnicodeNormalizer(NormalizationForm form) : INormalizer
{
    public TextPiece Apply(TextPiece piece)
    {
        // ASCII is normal in every form; asking for it first spares the library call for most text.
        if (Ascii.IsValid(piece.Text))
        {
            return piece;
        }

        var normal = Normalize(piece.Text);
        return normal == piece.Text ? piece : piece.HasOffsets ? ApplyWithOffsets(piece) : new TextPiece(normal);
    }

    /// <summary>The library refuses the noncharacter U+FFFE, which no form changes and nothing composes with: it is left out of the call.</summary>
    private string Normalize(string text) => text.Contains('\uFFFE', StringComparison.Ordinal)
        ? string.Join('\uFFFE', text.Split('\uFFFE').Select(part => part.Normalize(form)))
        : text.Normalize(form);

    private TextPiece ApplyWithOffsets(TextPiece piece)
    {
        var text = piece.Text;
        var builder = new TextPieceBuilder(piece, text.Length);
        for (var start = 0; start < text.Length;)
        {
            var end = start + CodePointLength(text, start);
            while (end < text.Length && JoinsPrevious(text, end))
            {
                end += CodePointLength(text, end);
            }

            AddCluster(builder, text, start, end);
            start = end;
        }

        return builder.Build();
    }

    /// <summary>
    /// What composing took away is charged to the first character, what decomposing added repeats the origin of the first; the rest
    /// keeps its order.
    /// </summary>
    private void AddCluster(TextPieceBuilder builder, string text, int start, int end)
    {
        var normal = Normalize(text[start..end]);
        var origins = new List<int>();
        for (var unit = start; unit < end; unit += CodePointLength(text, unit))
        {
            origins.Add(unit);
        }

        var count = normal.EnumerateRunes().Count();
        var shift = origins.Count - count;
        var index = 0;
        for (var unit = 0; unit < normal.Length; index++)
        {
            var length = CodePointLength(normal, unit);
            var from = index == 0 ? 0 : Math.Clamp(index + shift, 0, origins.Count - 1);
            builder.Add(normal.AsSpan(unit, length), origins[from]);
            unit += length;
        }
    }

    private static int CodePointLength(string text, int index) =>
        char.IsHighSurrogate(text[index]) && index + 1 < text.Length && char.IsLowSurrogate(text[index + 1]) ? 2 : 1;

    private static bool JoinsPrevious(string text, int index) =>
        CharUnicodeInfo.GetUnicodeCategory(text, index) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark
        || text[index] is >= '\u1160' and <= '\u11FF';
}
