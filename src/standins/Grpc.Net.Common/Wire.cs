using System.Globalization;
using System.Text;
using Grpc.Core;

namespace Grpc.Net;

/// <summary>Headers of gRPC over HTTP/2: time-outs, status, metadata.</summary>
internal static class Wire
{
    public const string ContentType = "application/grpc";
    public const string Status = "grpc-status";
    public const string Message = "grpc-message";
    public const string Timeout = "grpc-timeout";

    private const string Hex = "0123456789ABCDEF";

    /// <summary>A time-out as digits and a unit; at most eight digits.</summary>
    public static string FormatTimeout(TimeSpan timeout)
    {
        var milliseconds = Math.Max(1, (long)Math.Ceiling(timeout.TotalMilliseconds));
        return milliseconds < 100_000_000
            ? string.Create(CultureInfo.InvariantCulture, $"{milliseconds}m")
            : string.Create(CultureInfo.InvariantCulture, $"{Math.Min(99_999_999, milliseconds / 1000)}S");
    }

    /// <summary>Reads a time-out; null if it is not one.</summary>
    public static TimeSpan? ParseTimeout(string? value)
    {
        if (value is null || value.Length is < 2 or > 9 || !long.TryParse(value[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var amount))
        {
            return null;
        }

        return value[^1] switch
        {
            'H' => TimeSpan.FromHours(Math.Min(amount, 1_000_000)),
            'M' => TimeSpan.FromMinutes(amount),
            'S' => TimeSpan.FromSeconds(amount),
            'm' => TimeSpan.FromMilliseconds(amount),
            'u' => TimeSpan.FromMicroseconds(amount),
            'n' => TimeSpan.FromTicks(amount / TimeSpan.NanosecondsPerTick),
            _ => null,
        };
    }

    /// <summary>Percent-encodes a status text: what is not printable ASCII, and the percent sign.</summary>
    public static string EncodeMessage(string message)
    {
        var encoded = new StringBuilder(message.Length);
        foreach (var b in Encoding.UTF8.GetBytes(message))
        {
            if (b is >= 0x20 and <= 0x7E and not (byte)'%')
            {
                encoded.Append((char)b);
            }
            else
            {
                encoded.Append('%').Append(Hex[b >> 4]).Append(Hex[b & 15]);
            }
        }

        return encoded.ToString();
    }

    /// <summary>Undoes <see cref="EncodeMessage"/>.</summary>
    public static string DecodeMessage(string message) => Uri.UnescapeDataString(message);

    /// <summary>Whether a header belongs to HTTP or gRPC rather than to the caller's metadata.</summary>
    public static bool IsReserved(string key) =>
        key.StartsWith(':') || key.StartsWith("grpc-", StringComparison.OrdinalIgnoreCase)
        || key.Equals("content-type", StringComparison.OrdinalIgnoreCase)
        || key.Equals("te", StringComparison.OrdinalIgnoreCase)
        || key.Equals("host", StringComparison.OrdinalIgnoreCase)
        || key.Equals("accept-encoding", StringComparison.OrdinalIgnoreCase);

    /// <summary>A metadata value as a header's text; binary values in base64.</summary>
    public static string HeaderValue(Metadata.Entry entry) => entry.IsBinary ? Convert.ToBase64String(entry.ValueBytes) : entry.Value;

    /// <summary>Adds a received header to metadata; values of a binary key may be joined by commas and lack padding.</summary>
    public static void AddHeader(Metadata metadata, string key, string value)
    {
        if (IsReserved(key))
        {
            return;
        }

        if (!key.EndsWith(Metadata.BinaryHeaderSuffix, StringComparison.OrdinalIgnoreCase))
        {
            metadata.Add(key, value);
            return;
        }

        foreach (var part in value.Split(','))
        {
            var padded = part.Trim();
            metadata.Add(key, Convert.FromBase64String(padded.PadRight((padded.Length + 3) / 4 * 4, '=')));
        }
    }

    /// <summary>Reads status and text.</summary>
    public static Status ParseStatus(string code, string? message) =>
        int.TryParse(code, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? new Status(number is >= 0 and <= 16 ? (StatusCode)number : StatusCode.Unknown, message is null ? "" : DecodeMessage(message))
            : new Status(StatusCode.Unknown, $"Unexpected {Status} value: {code}");
}
