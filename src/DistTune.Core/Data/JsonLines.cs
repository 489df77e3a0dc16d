using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using DistTune.Core.Formats;

namespace DistTune.Core.Data;

/// <summary>One row of a JSON Lines file.</summary>
/// <param name="Value">The row, a JSON object.</param>
/// <param name="File">The file.</param>
/// <param name="Line">Its line, from 1.</param>
public sealed record JsonLine(JsonElement Value, string File, int Line)
{
    /// <summary><c>file:line</c>, as errors name it.</summary>
    public string Place => string.Create(CultureInfo.InvariantCulture, $"{File}:{Line}");

    /// <summary>A fault of this row.</summary>
    internal DistTuneException Fault(string reason, Exception? inner = null) => new(FaultKind.InvalidFile, $"{Place}: {reason}", inner);
}

/// <summary>Streams the rows of a JSON Lines file. Lines end with <c>\n</c> only: other Unicode line breaks are text.</summary>
public static class JsonLines
{
    /// <summary>Longest line that is read, in bytes.</summary>
    public const int MaximumLineBytes = 64 << 20;

    /// <summary>The rows of a file, blank lines left out.</summary>
    /// <exception cref="DistTuneException">The file is missing, or a line is too long, not UTF-8, or not a JSON object.</exception>
    public static IEnumerable<JsonLine> Read(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        var number = 0;
        foreach (var line in Lines(path))
        {
            number++;
            if (Row(line, path, number) is { } row)
            {
                yield return row;
            }
        }
    }

    private static IEnumerable<ReadOnlyMemory<byte>> Lines(string path)
    {
        using var stream = Open(path);
        var buffer = new byte[1 << 16];
        var (start, end) = (0, 0);
        var number = 1;
        while (true)
        {
            var length = buffer.AsSpan(start, end - start).IndexOf((byte)'\n');
            if (length >= 0)
            {
                yield return buffer.AsMemory(start, length);
                start += length + 1;
                number++;
                continue;
            }

            if (start > 0)
            {
                buffer.AsSpan(start, end - start).CopyTo(buffer);
                (start, end) = (0, end - start);
            }
            else if (end == buffer.Length)
            {
                if (buffer.Length >= MaximumLineBytes)
                {
                    throw new DistTuneException(FaultKind.InvalidFile, string.Create(CultureInfo.InvariantCulture, $"{path}:{number}: the line is longer than {MaximumLineBytes} bytes. Put each row on a line of its own."));
                }

                Array.Resize(ref buffer, buffer.Length * 2);
            }

            var read = stream.Read(buffer, end, buffer.Length - end);
            if (read == 0)
            {
                break;
            }

            end += read;
        }

        if (end > start)
        {
            yield return buffer.AsMemory(start, end - start);
        }
    }

    private static FileStream Open(string path)
    {
        RegularFile.Check(path);
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1, FileOptions.SequentialScan);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"The data file '{path}' cannot be read: {error.Message} Check datasets.path.", error);
        }
    }

    private static JsonLine? Row(ReadOnlyMemory<byte> line, string path, int number)
    {
        if (number == 1 && line.Span.StartsWith(Encoding.UTF8.Preamble))
        {
            line = line[3..];
        }

        if (line.Span.Trim(" \t\r"u8).IsEmpty)
        {
            return null;
        }

        var place = string.Create(CultureInfo.InvariantCulture, $"{path}:{number}");
        if (!Utf8.IsValid(line.Span))
        {
            throw new DistTuneException(FaultKind.InvalidFile, string.Create(CultureInfo.InvariantCulture, $"{place}: byte {ValidPrefix(line.Span) + 1} of the line is not UTF-8. Save the file as UTF-8 (iconv -f WINDOWS-1254 -t UTF-8 converts Turkish Windows text)."));
        }

        try
        {
            var value = JsonElement.Parse(line.Span);
            return value.ValueKind == JsonValueKind.Object
                ? new JsonLine(value, path, number)
                : throw new DistTuneException(FaultKind.InvalidFile, $"{place}: the row is a JSON {value.ValueKind.ToString().ToLowerInvariant()}; an object is expected, such as {{\"messages\": […]}}.");
        }
        catch (JsonException error)
        {
            throw new DistTuneException(FaultKind.InvalidFile, string.Create(CultureInfo.InvariantCulture, $"{place}: the line is not JSON at byte {(error.BytePositionInLine ?? 0) + 1}. Each line holds one whole JSON object."), error);
        }
    }

    private static int ValidPrefix(ReadOnlySpan<byte> bytes)
    {
        var at = 0;
        while (at < bytes.Length && Rune.DecodeFromUtf8(bytes[at..], out _, out var consumed) == OperationStatus.Done)
        {
            at += consumed;
        }

        return at;
    }
}
