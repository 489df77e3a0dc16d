using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace DistTune.Core.Access;

/// <summary>
/// A token that says what it is for: role, run and when it ends, signed with a key that only the coordinator and whoever issues it have.
/// Format: <c>dtt1.PAYLOAD.MAC</c>, base64url, HMAC-SHA256 over the first two parts.
/// </summary>
public sealed class AccessTicket
{
    private const string Version = "dtt1";
    private const int LongestTicket = 1024;
    private const int ShortestKey = 16;
    private readonly byte[] _key;
    private readonly string _run;

    /// <summary>Issues and checks the tickets of a run.</summary>
    /// <param name="key">The secret key's text.</param>
    /// <param name="run">The run's name: a ticket of another one is refused.</param>
    /// <exception cref="DistTuneException">The key is too short, or the name is empty.</exception>
    public AccessTicket(string key, string run)
    {
        ArgumentNullException.ThrowIfNull(key);
        if (key.Length < ShortestKey || string.IsNullOrWhiteSpace(run) || run.Contains('\n', StringComparison.Ordinal))
        {
            throw new DistTuneException(FaultKind.Configuration, string.Create(
                CultureInfo.InvariantCulture,
                $"Tickets need a key of at least {ShortestKey} characters (got {key.Length}) and the run's name (got '{run}'). Make a key with: openssl rand -hex 32"));
        }

        _key = SHA256.HashData(Encoding.UTF8.GetBytes(key));
        _run = run;
    }

    /// <summary>Makes a ticket.</summary>
    public string Issue(AccessRole role, DateTimeOffset expires)
    {
        var payload = string.Create(CultureInfo.InvariantCulture, $"{AccessRoles.NameOf(role)}\n{_run}\n{expires.ToUnixTimeSeconds()}");
        var signed = $"{Version}.{Base64Url.EncodeToString(Encoding.UTF8.GetBytes(payload))}";
        return $"{signed}.{Base64Url.EncodeToString(Mac(signed))}";
    }

    /// <summary>Checks a ticket; the signature first, in constant time, so that nothing is learnt from a forged one.</summary>
    /// <param name="ticket">What was presented.</param>
    /// <param name="now">The present time.</param>
    /// <param name="refusal">Why it is refused, without the ticket; null if it is not.</param>
    /// <returns>The role, or null.</returns>
    public AccessRole? Check(string ticket, DateTimeOffset now, out string? refusal)
    {
        ArgumentNullException.ThrowIfNull(ticket);
        refusal = "the token is not one of this run";
        var parts = ticket.Length <= LongestTicket ? ticket.Split('.') : [];
        if (parts is not [Version, var payload, var mac] || !IsSigned($"{Version}.{payload}", mac))
        {
            return null;
        }

        if (Encoding.UTF8.GetString(Base64Url.DecodeFromChars(payload)).Split('\n') is not [var name, var run, var end]
            || AccessRoles.Find(name) is not { } role
            || !long.TryParse(end, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds))
        {
            return null;
        }

        refusal = run != _run ? "the token is for another run" : now.ToUnixTimeSeconds() >= seconds ? "the token has expired" : null;
        return refusal is null ? role : null;
    }

    private bool IsSigned(string signed, string mac)
    {
        Span<byte> presented = stackalloc byte[SHA256.HashSizeInBytes];
        return Base64Url.IsValid(mac)
            && Base64Url.TryDecodeFromChars(mac, presented, out var written)
            && written == presented.Length
            && CryptographicOperations.FixedTimeEquals(presented, Mac(signed));
    }

    private byte[] Mac(string signed) => HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(signed));
}
