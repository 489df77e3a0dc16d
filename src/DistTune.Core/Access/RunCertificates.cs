using System.Collections.Immutable;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DistTune.Core.Access;

/// <summary>
/// The certificates of one run: an authority of its own, the coordinator's certificate, and one for each role. Whoever holds a
/// certificate of another authority is a stranger.
/// </summary>
public static class RunCertificates
{
    /// <summary>The authority's certificate: what both sides trust.</summary>
    public const string AuthorityFile = "ca.pem";

    /// <summary>The authority's key: only for making further certificates; no service needs it.</summary>
    public const string AuthorityKeyFile = "ca-key.pem";

    /// <summary>The coordinator's name, for its files.</summary>
    public const string Coordinator = "coordinator";

    internal const string ServerUse = "1.3.6.1.5.5.7.3.1";
    internal const string ClientUse = "1.3.6.1.5.5.7.3.2";

    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    // Clocks of machines that just started may be behind.
    private static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(10);

    /// <summary>Writes the certificates. An authority that is there already is kept, so that services take the new ones without a restart.</summary>
    /// <param name="folder">The folder; it is made if need be, for its owner alone.</param>
    /// <param name="hosts">Names and addresses by which workers reach the coordinator.</param>
    /// <param name="validity">How long they are valid.</param>
    /// <param name="now">The present time.</param>
    /// <returns>The files that were written.</returns>
    /// <exception cref="DistTuneException">The folder's authority cannot be read or has ended.</exception>
    public static ImmutableArray<string> Write(string folder, IReadOnlyCollection<string> hosts, TimeSpan validity, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(hosts);
        MakeFolder(folder);
        var written = ImmutableArray.CreateBuilder<string>();
        using var authority = OpenAuthority(folder, now) ?? CreateAuthority(folder, validity, now, written);
        var end = Min(now + validity, new DateTimeOffset(authority.NotAfter.ToUniversalTime()));
        Issue(Coordinator, Coordinator, ServerUse, hosts);
        foreach (var role in AccessRoles.Names)
        {
            Issue(role, role, ClientUse, []);
        }

        return written.ToImmutable();

        void Issue(string name, string unit, string use, IReadOnlyCollection<string> names)
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var request = Request(name, unit, key);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
            request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(use)], true));
            request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(authority, true, false));
            if (names.Count > 0)
            {
                request.CertificateExtensions.Add(Names(names));
            }

            using var certificate = request.Create(authority, now - ClockSkew, end, RandomNumberGenerator.GetBytes(16));
            written.Add(WritePrivate(folder, $"{name}-key.pem", key.ExportPkcs8PrivateKeyPem()));
            written.Add(WritePrivate(folder, $"{name}.pem", certificate.ExportCertificatePem()));
        }
    }

    /// <summary>The role that a certificate gives; null if none. Whether it is to be trusted is another question.</summary>
    public static AccessRole? RoleOf(X509Certificate2 certificate)
    {
        ArgumentNullException.ThrowIfNull(certificate);
        var units = certificate.SubjectName.EnumerateRelativeDistinguishedNames()
            .Where(name => !name.HasMultipleElements && name.GetSingleElementType().Value == "2.5.4.11")
            .Select(name => name.GetSingleElementValue())
            .ToArray();
        return units is [var unit] ? AccessRoles.Find(unit) : null;
    }

    private static X509Certificate2 CreateAuthority(string folder, TimeSpan validity, DateTimeOffset now, ImmutableArray<string>.Builder written)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = Request($"run {Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8))}", "authority", key);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        var authority = request.CreateSelfSigned(now - ClockSkew - ClockSkew, now + validity);
        written.Add(WritePrivate(folder, AuthorityKeyFile, key.ExportPkcs8PrivateKeyPem()));
        written.Add(WritePrivate(folder, AuthorityFile, authority.ExportCertificatePem()));
        return authority;
    }

    private static X509Certificate2? OpenAuthority(string folder, DateTimeOffset now)
    {
        var (certificate, key) = (Path.Combine(folder, AuthorityFile), Path.Combine(folder, AuthorityKeyFile));
        if (!File.Exists(certificate))
        {
            return null;
        }

        try
        {
            var authority = X509Certificate2.CreateFromPemFile(certificate, key);
            return authority.NotAfter.ToUniversalTime() > now.UtcDateTime
                ? authority
                : throw new DistTuneException(FaultKind.Configuration, $"The authority {certificate} ended on {authority.NotAfter:yyyy-MM-dd}. Write the certificates into a new folder.");
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new DistTuneException(FaultKind.Configuration, $"The authority in {folder} cannot be used: {fault.Message} Write the certificates into a new folder.", fault);
        }
    }

    private static CertificateRequest Request(string name, string unit, ECDsa key)
    {
        var subject = new X500DistinguishedNameBuilder();
        subject.AddOrganizationName("DistTune");
        subject.AddOrganizationalUnitName(unit);
        subject.AddCommonName(name);
        return new CertificateRequest(subject.Build(), key, HashAlgorithmName.SHA256);
    }

    private static X509Extension Names(IEnumerable<string> hosts)
    {
        var names = new SubjectAlternativeNameBuilder();
        foreach (var host in hosts)
        {
            if (IPAddress.TryParse(host, out var address))
            {
                names.AddIpAddress(address);
            }
            else if (Uri.CheckHostName(host) == UriHostNameType.Dns)
            {
                names.AddDnsName(host);
            }
            else
            {
                throw new DistTuneException(FaultKind.Configuration, $"--hosts must be names or addresses, got '{host}'. Example: --hosts coordinator,10.0.0.5");
            }
        }

        return names.Build();
    }

    private static DateTimeOffset Min(DateTimeOffset a, DateTimeOffset b) => a < b ? a : b;

    private static void MakeFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, OwnerOnly | UnixFileMode.UserExecute);
        }
    }

    // Never readable by others, not even for a moment; replaced whole, for services read it at any time.
    private static string WritePrivate(string folder, string name, string text)
    {
        var path = Path.Combine(folder, name);
        var temporary = path + ".new";
        File.Delete(temporary);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerOnly;
        }

        using (var writer = new StreamWriter(temporary, options))
        {
            writer.Write(text);
            writer.Write('\n');
        }

        File.Move(temporary, path, overwrite: true);
        return path;
    }
}
