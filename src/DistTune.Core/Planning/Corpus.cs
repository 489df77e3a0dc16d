using System.Collections.Immutable;
using System.Text;
using DistTune.Core.Formats;
using DistTune.Core.Text;
using DistTune.Core.Training;

namespace DistTune.Core.Planning;

/// <summary>The texts that a base is trained on.</summary>
internal static class Corpus
{
    private const long MaxBytes = 1L << 31;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>The documents of the files in order; a blank line ends one.</summary>
    /// <exception cref="DistTuneException">A file cannot be read, is too large or not UTF-8, or there is no document at all.</exception>
    public static ImmutableArray<string> Documents(ImmutableArray<string> files)
    {
        ImmutableArray<string> documents = [.. files.SelectMany(file => Text(file).Split("\n\n", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))];
        return documents.IsEmpty
            ? throw new DistTuneException(FaultKind.Configuration, $"There is no text in {string.Join(", ", files)}. Check corpus.")
            : documents;
    }

    /// <summary>
    /// Rows of <paramref name="length"/> tokens: the documents end to end, each closed by <paramref name="end"/>; the last row may be
    /// shorter. Every token but a row's first is trained.
    /// </summary>
    public static ImmutableArray<PlannedSample> Rows(ImmutableArray<string> documents, Tokenizer tokenizer, int end, int length)
    {
        var rows = ImmutableArray.CreateBuilder<PlannedSample>();
        var open = new List<int>(length);
        foreach (var document in documents)
        {
            foreach (var id in tokenizer.Encode(document, addSpecialTokens: false).Append(end))
            {
                open.Add(id);
                if (open.Count == length)
                {
                    rows.Add(Row(open));
                    open.Clear();
                }
            }
        }

        if (open.Count > 1)
        {
            rows.Add(Row(open));
        }

        return rows.ToImmutable();
    }

    private static PlannedSample Row(List<int> tokens) => new([.. tokens], [new LabelSpan(0, tokens.Count)]);

    private static string Text(string file)
    {
        RegularFile.Check(file);
        try
        {
            var length = new FileInfo(file).Length;
            return length <= MaxBytes
                ? StrictUtf8.GetString(File.ReadAllBytes(file)).TrimStart('\uFEFF').ReplaceLineEndings("\n")
                : throw new DistTuneException(FaultKind.Configuration, FormattableString.Invariant($"{file} has {length} bytes; a corpus file has at most {MaxBytes}. Split it."));
        }
        catch (DecoderFallbackException error)
        {
            throw new DistTuneException(FaultKind.InvalidFile, FormattableString.Invariant($"{file} is not UTF-8 text (byte {error.Index}). Save it as UTF-8."), error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"{file} cannot be read: {error.Message} Check corpus.", error);
        }
    }
}
