using DistTune.Core.Access;
using DistTune.Protocol.V1;
using Grpc.Core;
using Microsoft.AspNetCore.Http.Features;

namespace DistTune.Coordinator;

/// <summary>Lets only callers of the right role through: workers to the training service, people to the administration.</summary>
internal sealed class AccessInterceptor(CallerAccess access, FailedJoins failures, ILogger<AccessInterceptor> logger) : CallInterceptor
{
    private const string AdminPrefix = "/disttune.v1.Admin/";
    private const string Questions = AdminPrefix + nameof(Admin.AdminClient.GetStatus);

    protected override Task<T> AroundAsync<T>(ServerCallContext context, Func<Task<T>> call)
    {
        // Many workers may share an address: neither those that are in nor those that show a certificate, which nobody can guess, are
        // locked out by a neighbour who fails.
        var http = context.GetHttpContext();
        var connection = http.Features.GetRequiredFeature<ConnectionAdmission>();
        if (!connection.Admitted && failures.IsClosed(http.Connection.RemoteIpAddress) && !access.ShowsCertificate(context))
        {
            // Not logged: that is the point.
            throw new RpcException(new Status(StatusCode.ResourceExhausted, "Too many calls of this address were refused. Correct the token or the certificate and wait a minute."));
        }

        if (access.Identify(context, out var refusal) is not { } role)
        {
            failures.Failed(http.Connection.RemoteIpAddress);
            throw Refuse(context, StatusCode.Unauthenticated, refusal);
        }

        connection.Admit();
        return MayCall(role, context.Method)
            ? call()
            : throw Refuse(context, StatusCode.PermissionDenied, $"the role {AccessRoles.NameOf(role)} may not call it");
    }

    private static bool MayCall(AccessRole role, string method) => role switch
    {
        AccessRole.Worker => !method.StartsWith(AdminPrefix, StringComparison.Ordinal),
        AccessRole.Reader => method == Questions,
        _ => method.StartsWith(AdminPrefix, StringComparison.Ordinal),
    };

    private RpcException Refuse(ServerCallContext context, StatusCode code, string reason)
    {
        logger.CallRefused(context.Method, context.Peer, reason);
        var expected = context.Method.StartsWith(AdminPrefix, StringComparison.Ordinal)
            ? "the administration's token (DISTTUNE_ADMIN_TOKEN; DISTTUNE_READER_TOKEN for questions)"
            : "the run's join token (DISTTUNE_TOKEN)";
        return new RpcException(new Status(code, $"This call was refused: {reason}. It needs {expected} as 'authorization: Bearer <token>', or a certificate of the run's authority."));
    }
}
