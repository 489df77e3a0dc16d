using System.Collections.ObjectModel;
using Grpc.Core.Interceptors;
using Grpc.Net;

namespace Grpc.AspNetCore.Server;

/// <summary>Options of all gRPC services of an application.</summary>
public class GrpcServiceOptions
{
    /// <summary>Longest message that is accepted, in bytes; 4 MB by default, null for no limit.</summary>
    public int? MaxReceiveMessageSize { get; set; } = Frame.DefaultMaxReceiveLength;

    /// <summary>Longest message that is sent, in bytes; null for no limit.</summary>
    public int? MaxSendMessageSize { get; set; }

    /// <summary>Whether exceptions' messages reach the client.</summary>
    public bool? EnableDetailedErrors { get; set; }

    /// <summary>Interceptors, outermost first.</summary>
    public InterceptorCollection Interceptors { get; } = new();
}

/// <summary>An interceptor and the arguments its constructor gets besides services.</summary>
public class InterceptorRegistration
{
    internal InterceptorRegistration(Type type, object[] arguments)
    {
        Type = type;
        Arguments = arguments;
    }

    /// <summary>The interceptor's type.</summary>
    public Type Type { get; }

    /// <summary>Arguments of its constructor.</summary>
    public IReadOnlyList<object> Arguments { get; }
}

/// <summary>The interceptors of an application's services.</summary>
public class InterceptorCollection : Collection<InterceptorRegistration>
{
    /// <summary>Adds an interceptor.</summary>
    public void Add<TInterceptor>(params object[] args)
        where TInterceptor : Interceptor => Add(new InterceptorRegistration(typeof(TInterceptor), args));
}

/// <summary>Goes on configuring gRPC.</summary>
public interface IGrpcServerBuilder
{
    /// <summary>The application's services.</summary>
    Microsoft.Extensions.DependencyInjection.IServiceCollection Services { get; }
}
