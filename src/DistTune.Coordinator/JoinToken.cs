using System.Security.Cryptography;
using System.Text;
using DistTune.Core;
using DistTune.Core.Access;

namespace DistTune.Coordinator;

/// <summary>A secret that callers present. Only its hash is kept, so that it cannot be printed by accident.</summary>
internal sealed class JoinToken
{
    /// <summary>Environment variable with the workers' token.</summary>
    public const string Variable = "DISTTUNE_TOKEN";

    /// <summary>Environment variable with the administration's token.</summary>
    public const string AdminVariable = "DISTTUNE_ADMIN_TOKEN";

    /// <summary>Environment variable with the token of those who only look.</summary>
    public const string ReaderVariable = "DISTTUNE_READER_TOKEN";

    /// <summary>Environment variable with the key that signs tickets.</summary>
    public const string KeyVariable = "DISTTUNE_TOKEN_KEY";

    /// <summary>Environment variable with the run's name in tickets.</summary>
    public const string RunVariable = "DISTTUNE_TOKEN_RUN";

    private const string Scheme = "Bearer ";
    private readonly byte[] _hash;

    public JoinToken(string secret)
    {
        ArgumentException.ThrowIfNullOrEmpty(secret);
        _hash = SHA256.HashData(Encoding.UTF8.GetBytes(secret));
    }

    /// <summary>Reads a token from the variable, or from the file that the variable with <c>_FILE</c> names.</summary>
    /// <exception cref="DistTuneException">The file cannot be read or is empty.</exception>
    public static JoinToken? FromEnvironment(string variable, Func<string, string?> read) =>
        SecretVariable.Read(variable, read) is { } secret ? new JoinToken(secret) : null;

    /// <summary>Reads the key that signs tickets, if there is one.</summary>
    /// <exception cref="DistTuneException">The file cannot be read, the key is too short, or the run has no name.</exception>
    public static AccessTicket? TicketsFromEnvironment(Func<string, string?> read) =>
        SecretVariable.Read(KeyVariable, read) is { } key ? new AccessTicket(key, read(RunVariable) ?? "") : null;

    /// <summary>Whether an <c>authorization</c> header presents this token; takes the same time for any wrong one.</summary>
    public bool IsPresentedBy(string? header)
    {
        var presented = header is not null && header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) ? header[Scheme.Length..] : string.Empty;
        return CryptographicOperations.FixedTimeEquals(_hash, SHA256.HashData(Encoding.UTF8.GetBytes(presented)));
    }
}
