namespace DistTune.Fuzz.Tests;

/// <summary>A file as an attacker wrote it by hand, with what is wrong with it.</summary>
internal sealed record HostileFile(string Name, byte[] Content);

/// <summary>
/// A kind of file that comes from elsewhere: a small valid corpus, hand-written hostile files, a way to change one, and the reader that
/// must survive them all.
/// </summary>
internal abstract class FuzzFormat
{
    public abstract string Name { get; }

    /// <summary>Small valid files: mutations start from them, and they must be read without a fault.</summary>
    public abstract IReadOnlyList<byte[]> Corpus { get; }

    /// <summary>Files that are hostile as they stand.</summary>
    public abstract IReadOnlyList<HostileFile> Hostile { get; }

    /// <summary>Most bytes that reading may allocate, in all, for a file of this length.</summary>
    public virtual long AllocationBound(int length) => (8L << 20) + (256L * length);

    /// <summary>Changes a valid file.</summary>
    public abstract byte[] Mutate(Random random, byte[] content);

    /// <summary>Reads a file with everything that the product would do with it; ends or throws a typed fault.</summary>
    public abstract void Read(byte[] content, string folder);

    /// <summary>Text as UTF-8.</summary>
    protected static byte[] Utf8(string text) => System.Text.Encoding.UTF8.GetBytes(text);

    /// <summary>A hostile file of text.</summary>
    protected static HostileFile Of(string name, string text) => new(name, Utf8(text));

    /// <summary>A part written many times.</summary>
    protected static string Repeat(string part, int count) => string.Concat(Enumerable.Repeat(part, count));
}
