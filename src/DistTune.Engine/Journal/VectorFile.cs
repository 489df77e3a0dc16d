using System.Globalization;
using System.Runtime.InteropServices;
using DistTune.Engine.Storage;

namespace DistTune.Engine.Journal;

/// <summary>Flat fp32 vectors in files, little-endian.</summary>
internal static class VectorFile
{
    // A span of bytes ends at 2 GiB, a span of floats at 8.
    private const int BlockFloats = 1 << 22;

    public static void Write(IStorageFile file, long offset, ReadOnlySpan<float> values)
    {
        for (var start = 0; start < values.Length; start += BlockFloats)
        {
            var block = MemoryMarshal.AsBytes(values.Slice(start, Math.Min(BlockFloats, values.Length - start)));
            file.Write(offset, block);
            offset += block.Length;
        }
    }

    /// <returns>Whether all of it was there.</returns>
    public static bool TryRead(IStorageFile file, long offset, Span<float> values)
    {
        for (var start = 0; start < values.Length; start += BlockFloats)
        {
            var block = MemoryMarshal.AsBytes(values.Slice(start, Math.Min(BlockFloats, values.Length - start)));
            if (file.Read(offset, block) != block.Length)
            {
                return false;
            }

            offset += block.Length;
        }

        return true;
    }

    /// <summary>Name of a file or folder that is numbered by a step.</summary>
    public static string Numbered(string prefix, long number) => string.Create(CultureInfo.InvariantCulture, $"{prefix}{number:000000}");

    /// <summary>The number in such a name, or null if it is another name.</summary>
    public static int? NumberIn(string name, string prefix) =>
        name.StartsWith(prefix, StringComparison.Ordinal) && int.TryParse(name.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : null;
}
