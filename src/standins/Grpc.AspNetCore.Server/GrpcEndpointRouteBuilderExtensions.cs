using System.Reflection;
using Grpc.AspNetCore.Server;
using Grpc.AspNetCore.Server.Internal;
using Grpc.Core;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Goes on configuring the endpoints of a service.</summary>
public sealed class GrpcServiceEndpointConventionBuilder : IEndpointConventionBuilder
{
    private readonly IReadOnlyList<IEndpointConventionBuilder> _endpoints;

    internal GrpcServiceEndpointConventionBuilder(IReadOnlyList<IEndpointConventionBuilder> endpoints) => _endpoints = endpoints;

    /// <inheritdoc/>
    public void Add(Action<EndpointBuilder> convention)
    {
        foreach (var endpoint in _endpoints)
        {
            endpoint.Add(convention);
        }
    }
}

/// <summary>Maps gRPC services.</summary>
public static class GrpcEndpointRouteBuilderExtensions
{
    /// <summary>Maps the methods of a service that derives from a generated base class.</summary>
    /// <exception cref="InvalidOperationException">No base class of <typeparamref name="TService"/> was generated.</exception>
    public static GrpcServiceEndpointConventionBuilder MapGrpcService<TService>(this IEndpointRouteBuilder builder)
        where TService : class
    {
        ArgumentNullException.ThrowIfNull(builder);
        var bind = typeof(TService).GetCustomAttribute<BindServiceMethodAttribute>(inherit: true)
            ?? throw new InvalidOperationException($"{typeof(TService)} has no base class generated from a .proto file, so there is nothing to map.");
        var method = bind.BindType.GetMethods(BindingFlags.Public | BindingFlags.Static)
            .Single(candidate => candidate.Name == bind.BindMethodName && candidate.GetParameters() is [{ ParameterType: var binder }, _] && binder == typeof(ServiceBinderBase));
        var options = builder.ServiceProvider.GetRequiredService<IOptions<GrpcServiceOptions>>().Value;
        var mapper = new MethodMapper<TService>(builder, options);
        method.Invoke(null, [mapper, null]);
        mapper.MapUnknownMethods();
        return new GrpcServiceEndpointConventionBuilder(mapper.Endpoints);
    }
}
