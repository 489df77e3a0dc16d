using DistTune.Core.Access;
using DistTune.Protocol.V1;
using Grpc.Core;

namespace DistTune.Coordinator;

/// <summary>Lets only callers of the right role through: workers to the training service, people to the administration.</summary>
internal sealed class AccessInterceptor(CallerAccess access, FailedJoins failures, ILogger<AccessInterceptor> logger) : CallInterceptor
{
    private const string AdminPrefix = "/disttune.v1.Admin/";
    private const string Questions = AdminPrefix + nameof(Admin.AdminClient.GetStatus);

    protected override Task<T> AroundAsync<T>(ServerCallContext context, Func<Task<T>> call)
    {
        var connection = context.GetHttpContext().Connection;
        if (failures.IsClosed(connection.RemoteIpAddress, connection.Id))
        {
            // Not logged: that is the point.
            throw new RpcException(new Status(StatusCode.ResourceExhausted, "Too many calls of this address were refused. Correct the token or the certificate and wait a minute."));
        }

        if (access.Identify(context, out var refusal) is not { } role)
        {
            failures.Failed(connection.RemoteIpAddress);
            throw Refuse(context, StatusCode.Unauthenticated, refusal);
        }

        failures.Succeeded(connection.Id);
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
