using Grpc.Core;

namespace DistTune.Coordinator;

/// <summary>Lets only callers with the right token through: workers to the training service, people to the administration.</summary>
internal sealed class AccessInterceptor(CoordinatorSetup setup, ILogger<AccessInterceptor> logger) : CallInterceptor
{
    private const string AdminPrefix = "/disttune.v1.Admin/";

    protected override Task<T> AroundAsync<T>(ServerCallContext context, Func<Task<T>> call)
    {
        var header = context.RequestHeaders.FirstOrDefault(entry => entry.Key == "authorization" && !entry.IsBinary)?.Value;
        var joins = setup.Token.IsPresentedBy(header);
        if (!context.Method.StartsWith(AdminPrefix, StringComparison.Ordinal))
        {
            return joins ? call() : throw Refuse(context, StatusCode.Unauthenticated, "the run's join token (DISTTUNE_TOKEN)");
        }

        return setup.AdminToken?.IsPresentedBy(header) == true
            ? call()
            : throw Refuse(context, joins ? StatusCode.PermissionDenied : StatusCode.Unauthenticated, "the administration token (DISTTUNE_ADMIN_TOKEN)");
    }

    private RpcException Refuse(ServerCallContext context, StatusCode code, string expected)
    {
        logger.CallRefused(context.Method, context.Peer);
        return new RpcException(new Status(code, $"This call needs {expected} as 'authorization: Bearer <token>'."));
    }
}
