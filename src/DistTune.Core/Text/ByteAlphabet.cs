namespace DistTune.Core.Text;

/// <summary>GPT-2's one-to-one mapping of bytes to printable characters, in which byte-level vocabularies are written.</summary>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = Build();
    private static readonly short[] Bytes = Invert(Characters);

    /// <summary>The character of a byte.</summary>
    internal static char ToCharacter(byte value) => Characters[value];

    /// <summary>The byte of a character, or -1.</summary>
    internal static int ToByte(char character) => character < Bytes.Length ? Bytes[character] : -1;

    /// <summary>The bytes that a token stands for; null if it holds a character outside the alphabet.</summary>
    internal static bool TryDecode(string token, List<byte> bytes)
    {
        var before = bytes.Count;
        foreach (var character in token)
        {
            var value = ToByte(character);
            if (value < 0)
            {
                bytes.RemoveRange(before, bytes.Count - before);
                return false;
            }

            bytes.Add((byte)value);
        }

        return true;
    }

    private static char[] Build()
    {
        var characters = new char[256];
        var next = 256;
        for (var value = 0; value < 256; value++)
        {
            var printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            characters[value] = printable ? (char)value : (char)next++;
        }

        return characters;
    }

    private static short[] Invert(char[] characters)
    {
        var bytes = new short[characters.Max() + 1];
        Array.Fill(bytes, (short)-1);
        for (var value = 0; value < characters.Length; value++)
        {
            bytes[characters[value]] = (short)value;
        }

        return bytes;
    }
}
