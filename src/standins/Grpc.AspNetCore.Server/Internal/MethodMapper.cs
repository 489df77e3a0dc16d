using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>Maps each method of a service to an endpoint whose handler is the service's override.</summary>
internal sealed class MethodMapper<TService>(IEndpointRouteBuilder builder, GrpcServiceOptions options) : ServiceBinderBase
    where TService : class
{
    private readonly List<IEndpointConventionBuilder> _endpoints = [];
    private string? _serviceName;

    public IReadOnlyList<IEndpointConventionBuilder> Endpoints => _endpoints;

    public override void AddMethod<TRequest, TResponse>(Method<TRequest, TResponse> method, UnaryServerMethod<TRequest, TResponse>? handler)
    {
        var invoke = Open<Func<TService, TRequest, ServerCallContext, Task<TResponse>>>(method, typeof(TRequest), typeof(ServerCallContext));
        Map(method, async (call, service) =>
        {
            UnaryServerMethod<TRequest, TResponse> next = (request, context) => invoke(service, request, context);
            foreach (var interceptor in call.InnermostFirst())
            {
                var inner = next;
                next = (request, context) => interceptor.UnaryServerHandler(request, context, inner);
            }

            var request = await call.ReadOnlyRequestAsync(method.RequestMarshaller).ConfigureAwait(false);
            await call.WriteAsync(method.ResponseMarshaller, await next(request, call.Context).ConfigureAwait(false)).ConfigureAwait(false);
        });
    }

    public override void AddMethod<TRequest, TResponse>(Method<TRequest, TResponse> method, ClientStreamingServerMethod<TRequest, TResponse>? handler)
    {
        var invoke = Open<Func<TService, IAsyncStreamReader<TRequest>, ServerCallContext, Task<TResponse>>>(method, typeof(IAsyncStreamReader<TRequest>), typeof(ServerCallContext));
        Map(method, async (call, service) =>
        {
            ClientStreamingServerMethod<TRequest, TResponse> next = (requests, context) => invoke(service, requests, context);
            foreach (var interceptor in call.InnermostFirst())
            {
                var inner = next;
                next = (requests, context) => interceptor.ClientStreamingServerHandler(requests, context, inner);
            }

            var response = await next(call.Requests(method.RequestMarshaller), call.Context).ConfigureAwait(false);
            await call.WriteAsync(method.ResponseMarshaller, response).ConfigureAwait(false);
        });
    }

    public override void AddMethod<TRequest, TResponse>(Method<TRequest, TResponse> method, ServerStreamingServerMethod<TRequest, TResponse>? handler)
    {
        var invoke = Open<Func<TService, TRequest, IServerStreamWriter<TResponse>, ServerCallContext, Task>>(method, typeof(TRequest), typeof(IServerStreamWriter<TResponse>), typeof(ServerCallContext));
        Map(method, async (call, service) =>
        {
            ServerStreamingServerMethod<TRequest, TResponse> next = (request, responses, context) => invoke(service, request, responses, context);
            foreach (var interceptor in call.InnermostFirst())
            {
                var inner = next;
                next = (request, responses, context) => interceptor.ServerStreamingServerHandler(request, responses, context, inner);
            }

            var request = await call.ReadOnlyRequestAsync(method.RequestMarshaller).ConfigureAwait(false);
            await next(request, call.Responses(method.ResponseMarshaller), call.Context).ConfigureAwait(false);
        });
    }

    public override void AddMethod<TRequest, TResponse>(Method<TRequest, TResponse> method, DuplexStreamingServerMethod<TRequest, TResponse>? handler)
    {
        var invoke = Open<Func<TService, IAsyncStreamReader<TRequest>, IServerStreamWriter<TResponse>, ServerCallContext, Task>>(method, typeof(IAsyncStreamReader<TRequest>), typeof(IServerStreamWriter<TResponse>), typeof(ServerCallContext));
        Map(method, (call, service) =>
        {
            DuplexStreamingServerMethod<TRequest, TResponse> next = (requests, responses, context) => invoke(service, requests, responses, context);
            foreach (var interceptor in call.InnermostFirst())
            {
                var inner = next;
                next = (requests, responses, context) => interceptor.DuplexStreamingServerHandler(requests, responses, context, inner);
            }

            return next(call.Requests(method.RequestMarshaller), call.Responses(method.ResponseMarshaller), call.Context);
        });
    }

    /// <summary>Answers methods that the service does not have with <see cref="StatusCode.Unimplemented"/>.</summary>
    public void MapUnknownMethods()
    {
        if (_serviceName is not null)
        {
            _endpoints.Add(builder.MapPost($"/{_serviceName}/{{method}}", http =>
                ServerCall.RunAsync<TService>(http, options, (_, _) => throw new RpcException(new Status(StatusCode.Unimplemented, "Method is unimplemented.")))));
        }
    }

    private void Map(IMethod method, Func<ServerCall, TService, Task> handle)
    {
        _serviceName = method.ServiceName;
        _endpoints.Add(builder.MapPost(method.FullName, http => ServerCall.RunAsync(http, options, handle)).WithDisplayName($"gRPC - {method.FullName}"));
    }

    private static TDelegate Open<TDelegate>(IMethod method, params Type[] parameters)
        where TDelegate : Delegate =>
        (typeof(TService).GetMethod(method.Name, parameters)
            ?? throw new InvalidOperationException($"{typeof(TService)} has no method {method.Name}({string.Join(", ", parameters.Select(type => type.Name))}).")).CreateDelegate<TDelegate>();
}
