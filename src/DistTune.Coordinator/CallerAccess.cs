using System.Security.Cryptography.X509Certificates;
using DistTune.Core.Access;
using Grpc.Core;

namespace DistTune.Coordinator;

/// <summary>Tells a caller's role from its certificate or its token; either is enough.</summary>
internal sealed class CallerAccess(CoordinatorSetup setup, TimeProvider time)
{
    private const string Scheme = "Bearer ";

    /// <summary>The caller's role.</summary>
    /// <param name="context">The call.</param>
    /// <param name="refusal">What is wrong with what was presented; it never repeats it.</param>
    /// <returns>Null if the caller is nobody.</returns>
    public AccessRole? Identify(ServerCallContext context, out string refusal)
    {
        var certificate = context.GetHttpContext().Connection.ClientCertificate;
        if (certificate is not null && setup.Tls is { HasAuthority: true } tls)
        {
            // A stranger's certificate is refused even beside a right token: somebody is where they should not be.
            return OfCertificate(certificate, tls, out refusal);
        }

        var header = context.RequestHeaders.FirstOrDefault(entry => entry.Key == "authorization" && !entry.IsBinary)?.Value;
        refusal = "nothing was presented";
        if (header is null || !header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        // All are compared, whichever fits: the time taken tells nothing.
        var admin = setup.AdminToken?.IsPresentedBy(header) == true;
        var reader = setup.ReaderToken?.IsPresentedBy(header) == true;
        var worker = setup.Token?.IsPresentedBy(header) == true;
        if (admin || reader || worker)
        {
            return admin ? AccessRole.Admin : reader ? AccessRole.Reader : AccessRole.Worker;
        }

        var why = "the token is not one of this run";
        var role = setup.Tickets?.Check(header[Scheme.Length..], time.GetUtcNow(), out why);
        refusal = why ?? refusal;
        return role;
    }

    /// <summary>Whether the caller's certificate is one of the run's.</summary>
    public bool ShowsCertificate(ServerCallContext context) =>
        context.GetHttpContext().Connection.ClientCertificate is { } certificate && setup.Tls is { HasAuthority: true } tls && tls.Trusts(certificate, server: false);

    private static AccessRole? OfCertificate(X509Certificate2 certificate, CertificateFiles tls, out string refusal)
    {
        if (!tls.Trusts(certificate, server: false))
        {
            refusal = "the certificate was not issued by this run's authority for clients, or is not valid now";
            return null;
        }

        refusal = "the certificate names no role (worker, reader or admin) as its organisational unit";
        return RunCertificates.RoleOf(certificate);
    }
}
