using System.Net;

namespace DistTune.Core.Access;

/// <summary>
/// Whether a token may travel without TLS: within this machine always, and elsewhere only where somebody has said that the network is
/// encrypted already. On any other network whoever listens has the token.
/// </summary>
public static class PlaintextTokens
{
    /// <summary>Environment variable that says so.</summary>
    public const string Variable = "DISTTUNE_ALLOW_PLAINTEXT_TOKEN";

    /// <summary>What to do instead: the end of every refusal.</summary>
    public const string Cure =
        $"Use https with the files of `disttune certs` ({CertificateFiles.AuthorityVariable}, {CertificateFiles.CertificateVariable}, {CertificateFiles.KeyVariable}), or set {Variable}=true if the network itself is encrypted.";

    /// <summary>Whether somebody has said so.</summary>
    /// <param name="read">Reads a variable.</param>
    /// <exception cref="DistTuneException">The variable is neither true nor false.</exception>
    public static bool AreAllowed(Func<string, string?> read)
    {
        ArgumentNullException.ThrowIfNull(read);
        return read(Variable) switch
        {
            null or "" or "false" or "0" => false,
            "true" or "1" => true,
            var other => throw new DistTuneException(FaultKind.Configuration, $"{Variable} must be true or false, got '{other}'."),
        };
    }

    /// <summary>Whether a host is this machine: <c>localhost</c>, 127.0.0.0/8 or ::1. A name is not looked up.</summary>
    public static bool IsThisMachine(string host)
    {
        ArgumentNullException.ThrowIfNull(host);
        return IPAddress.TryParse(host, out var address) ? IPAddress.IsLoopback(address) : string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase);
    }
}
