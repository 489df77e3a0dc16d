using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace DistTune.Core.Planning;

/// <summary>Hashes of what a result depends on, besides the base: all lower-case hexadecimal SHA-256.</summary>
internal static class PlanHashes
{
    /// <summary>A text; empty for none.</summary>
    public static string Text(string? text) => string.IsNullOrEmpty(text) ? "" : Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    /// <summary>The tokenised rows with their label spans, and the prompts.</summary>
    public static string Data(ImmutableArray<PlannedSample> training, ImmutableArray<PlannedSample> evaluation, ImmutableArray<PlannedPrompt> prompts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var samples in (ImmutableArray<PlannedSample>[])[training, evaluation])
        {
            Append(hash, samples.Length);
            foreach (var sample in samples)
            {
                Append(hash, sample.TokenIds);
                Append(hash, [.. sample.Labels.SelectMany(span => new[] { span.Start, span.End })]);
            }
        }

        Append(hash, prompts.Length);
        foreach (var prompt in prompts)
        {
            Append(hash, prompt.TokenIds);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Named values, in the order given; numbers are written so that they read back exactly.</summary>
    public static ImmutableArray<KeyValuePair<string, string>> Values(IEnumerable<(string Name, object? Value)> values) =>
    [
        .. values.Select(pair => KeyValuePair.Create(pair.Name, pair.Value switch
        {
            double number => number.ToString("R", CultureInfo.InvariantCulture),
            IFormattable other => other.ToString(null, CultureInfo.InvariantCulture),
            _ => pair.Value?.ToString() ?? "",
        })),
    ];

    /// <summary>The hash of named values.</summary>
    public static string Of(ImmutableArray<KeyValuePair<string, string>> values) =>
        Text(string.Concat(values.Select(pair => $"{pair.Key}={pair.Value}\n")));

    private static void Append(IncrementalHash hash, long value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        hash.AppendData(bytes);
    }

    private static void Append(IncrementalHash hash, ImmutableArray<int> values)
    {
        Append(hash, values.Length);
        hash.AppendData(MemoryMarshal.AsBytes(values.AsSpan()));
    }
}
