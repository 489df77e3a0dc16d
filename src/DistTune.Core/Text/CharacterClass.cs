using System.Globalization;

namespace DistTune.Core.Text;

/// <summary>The character classes that pre-tokenizer patterns are made of, by code point (not by UTF-16 unit).</summary>
internal static class CharacterClass
{
    internal const byte Other = 0;
    internal const byte Letter = 1;
    internal const byte Number = 2;
    internal const byte Space = 3;
    internal const byte LineBreak = 4;

    private static readonly byte[] BasicPlane = BuildBasicPlane();

    /// <summary>Class of the code point that starts at <paramref name="index"/>; <paramref name="length"/> is its UTF-16 units.</summary>
    internal static byte At(ReadOnlySpan<char> text, int index, out int length)
    {
        var unit = text[index];
        if (char.IsHighSurrogate(unit) && index + 1 < text.Length && char.IsLowSurrogate(text[index + 1]))
        {
            length = 2;
            return Of(char.ConvertToUtf32(unit, text[index + 1]));
        }

        length = 1;
        return BasicPlane[unit];
    }

    /// <summary>Whether a class is white space, line breaks included.</summary>
    internal static bool IsSpace(byte characterClass) => characterClass >= Space;

    /// <summary>Whether the code point is one that <c>\w</c> matches.</summary>
    internal static bool IsWord(int codePoint) => CharUnicodeInfo.GetUnicodeCategory(codePoint) is
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter or UnicodeCategory.ModifierLetter
        or UnicodeCategory.OtherLetter or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark
        or UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation;

    private static byte Of(int codePoint) => CharUnicodeInfo.GetUnicodeCategory(codePoint) switch
    {
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter
            or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter => Letter,
        UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Number,
        _ => Other,
    };

    private static byte[] BuildBasicPlane()
    {
        var table = new byte[char.MaxValue + 1];
        for (var unit = 0; unit < table.Length; unit++)
        {
            table[unit] = unit is '\r' or '\n' ? LineBreak : char.IsWhiteSpace((char)unit) ? Space : Of(unit);
        }

        return table;
    }
}
