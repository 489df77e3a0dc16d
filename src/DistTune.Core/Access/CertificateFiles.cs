using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using DistTune.Core.Formats;

namespace DistTune.Core.Access;

/// <summary>
/// A certificate with its key and the authority that is trusted, read from files and read again when they change, so that renewed
/// certificates need no restart. Safe to use from any thread.
/// </summary>
public sealed class CertificateFiles
{
    /// <summary>Environment variable with the authority's file.</summary>
    public const string AuthorityVariable = "DISTTUNE_TLS_CA";

    /// <summary>Environment variable with the certificate's file.</summary>
    public const string CertificateVariable = "DISTTUNE_TLS_CERT";

    /// <summary>Environment variable with the key's file.</summary>
    public const string KeyVariable = "DISTTUNE_TLS_KEY";

    private readonly Lock _gate = new();
    private readonly string? _authorityPath;
    private readonly string? _certificatePath;
    private readonly string? _keyPath;
    private Loaded _loaded;

    private CertificateFiles(string? authority, string? certificate, string? key)
    {
        (_authorityPath, _certificatePath, _keyPath) = (authority, certificate, key);
        _loaded = Load(Stamp());
    }

    /// <summary>The certificate with its key, or null if none is configured.</summary>
    public X509Certificate2? Certificate => Current().Certificate;

    /// <summary>Whether an authority of the run's own is configured.</summary>
    public bool HasAuthority => _authorityPath is not null;

    /// <summary>Reads what the three variables name.</summary>
    /// <param name="read">Reads a variable.</param>
    /// <returns>Null if none of them is set.</returns>
    /// <exception cref="DistTuneException">A file is missing or not what it should be, or a certificate has no key.</exception>
    public static CertificateFiles? FromEnvironment(Func<string, string?> read)
    {
        ArgumentNullException.ThrowIfNull(read);
        var (authority, certificate, key) = (Value(AuthorityVariable), Value(CertificateVariable), Value(KeyVariable));
        if (authority is null && certificate is null && key is null)
        {
            return null;
        }

        return (certificate is null) == (key is null)
            ? new CertificateFiles(authority, certificate, key)
            : throw new DistTuneException(FaultKind.Configuration, $"{CertificateVariable} and {KeyVariable} belong together, and only {(key is null ? CertificateVariable : KeyVariable)} is set. Set both; `disttune certs` writes such files.");

        string? Value(string name) => read(name) is { Length: > 0 } text ? text : null;
    }

    /// <summary>Whether a peer's certificate is valid now, was issued by the run's authority, and for this use.</summary>
    /// <param name="certificate">The peer's certificate; that the peer has its key, TLS has shown.</param>
    /// <param name="server">Whether it must be a server's; a client's otherwise.</param>
    public bool Trusts(X509Certificate2 certificate, bool server)
    {
        using var chain = new X509Chain { ChainPolicy = Policy(server) };
        return chain.Build(certificate);
    }

    /// <summary>Refuses to serve with a certificate that no peer would take.</summary>
    /// <exception cref="DistTuneException">There is none, or the run's authority did not issue it for servers, or it is not valid now.</exception>
    public void RequireServer()
    {
        if (Certificate is not { } own)
        {
            throw new DistTuneException(FaultKind.Configuration, $"TLS is configured, and the gRPC endpoint needs a certificate. Set {CertificateVariable} and {KeyVariable}; `disttune certs` writes such files.");
        }

        if (HasAuthority && !Trusts(own, server: true))
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                FormattableString.Invariant($"The certificate {_certificatePath} ({own.Subject}, {own.NotBefore:yyyy-MM-dd} to {own.NotAfter:yyyy-MM-dd}) was not issued for servers by the authority {_authorityPath}, or is not valid now. Use {RunCertificates.Coordinator}.pem, or renew it with `disttune certs`."));
        }
    }

    /// <summary>How a peer's chain is checked: the run's authority alone, or the machine's if none is configured.</summary>
    public X509ChainPolicy Policy(bool server)
    {
        var policy = new X509ChainPolicy { RevocationMode = X509RevocationMode.NoCheck };
        policy.ApplicationPolicy.Add(new Oid(server ? RunCertificates.ServerUse : RunCertificates.ClientUse));
        if (Current().Authority is { } authority)
        {
            policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            policy.CustomTrustStore.Add(authority);

            // The run's authority signs directly; nothing is fetched from anywhere.
            policy.DisableCertificateDownloads = true;
        }

        return policy;
    }

    private Loaded Current()
    {
        lock (_gate)
        {
            var stamp = Stamp();
            if (stamp != _loaded.Stamp)
            {
                try
                {
                    _loaded = Load(stamp);
                }
                catch (DistTuneException)
                {
                    // Half-replaced: a new certificate with the old key. What was loaded goes on until both are there.
                    return _loaded;
                }
            }

            return _loaded;
        }
    }

    private Loaded Load((DateTime, DateTime, DateTime) stamp)
    {
        var path = _authorityPath ?? _certificatePath!;
        foreach (var file in new[] { _authorityPath, _certificatePath, _keyPath }.OfType<string>())
        {
            RegularFile.Check(file);
        }

        try
        {
            var authority = _authorityPath is null ? null : X509CertificateLoader.LoadCertificateFromFile(_authorityPath);
            path = _certificatePath ?? path;
            return new Loaded(authority, _certificatePath is null ? null : WithKey(_certificatePath, _keyPath!), stamp);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"The TLS file {path} cannot be used: {fault.Message} `disttune certs` writes such files.", fault);
        }
    }

    private static X509Certificate2 WithKey(string certificatePath, string keyPath)
    {
        var certificate = X509Certificate2.CreateFromPemFile(certificatePath, keyPath);
        if (!OperatingSystem.IsWindows())
        {
            return certificate;
        }

        // Windows' TLS takes no key that exists in memory alone.
        using (certificate)
        {
            return X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pkcs12), null);
        }
    }

    private (DateTime, DateTime, DateTime) Stamp() => (Written(_authorityPath), Written(_certificatePath), Written(_keyPath));

    // Of the file that a link leads to: Kubernetes renews a mounted Secret behind links that stay as they are.
    private static DateTime Written(string? path)
    {
        if (path is null)
        {
            return default;
        }

        try
        {
            return (File.ResolveLinkTarget(path, returnFinalTarget: true) ?? new FileInfo(path)).LastWriteTimeUtc;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // Just being replaced, or not there: reading it says so.
            return default;
        }
    }

    private sealed record Loaded(X509Certificate2? Authority, X509Certificate2? Certificate, (DateTime, DateTime, DateTime) Stamp);
}
