using System.Net.Sockets;
using Aspire.Hosting.ApplicationModel;

namespace Aspire.Hosting;

/// <summary>What can be said of any resource that can hear it.</summary>
public static class ResourceBuilderExtensions
{
    /// <summary>Sets an environment variable.</summary>
    public static IResourceBuilder<T> WithEnvironment<T>(this IResourceBuilder<T> builder, string name, string? value)
        where T : IResourceWithEnvironment => builder.Annotate(new EnvironmentAnnotation(name, value ?? ""));

    /// <summary>Sets an environment variable to text with values that are known once the application runs.</summary>
    public static IResourceBuilder<T> WithEnvironment<T>(
        this IResourceBuilder<T> builder, string name, in ReferenceExpression.ExpressionInterpolatedStringHandler value)
        where T : IResourceWithEnvironment => builder.Annotate(new EnvironmentAnnotation(name, ReferenceExpression.Create(value)));

    /// <summary>Sets an environment variable to an endpoint's URL.</summary>
    public static IResourceBuilder<T> WithEnvironment<T>(this IResourceBuilder<T> builder, string name, EndpointReference endpointReference)
        where T : IResourceWithEnvironment => builder.Annotate(new EnvironmentAnnotation(name, endpointReference));

    /// <summary>Sets an environment variable to a parameter's value.</summary>
    public static IResourceBuilder<T> WithEnvironment<T>(this IResourceBuilder<T> builder, string name, IResourceBuilder<ParameterResource> parameter)
        where T : IResourceWithEnvironment
    {
        ArgumentNullException.ThrowIfNull(parameter);
        return builder.Annotate(new EnvironmentAnnotation(name, parameter.Resource));
    }

    /// <summary>Adds command-line arguments.</summary>
    public static IResourceBuilder<T> WithArgs<T>(this IResourceBuilder<T> builder, params string[] args)
        where T : IResourceWithArgs => builder.Annotate(new ArgumentsAnnotation(args));

    /// <summary>Adds an HTTP endpoint on a free loopback port, or on the port given.</summary>
    /// <param name="builder">The resource.</param>
    /// <param name="port">The port clients use.</param>
    /// <param name="targetPort">The port the resource listens on.</param>
    /// <param name="name">Name; <c>http</c> if null.</param>
    /// <param name="env">Environment variable of the resource that is to hold the port.</param>
    /// <param name="isProxied">Not used: nothing is proxied.</param>
    public static IResourceBuilder<T> WithHttpEndpoint<T>(
        this IResourceBuilder<T> builder, int? port = null, int? targetPort = null, string? name = null, string? env = null, bool isProxied = true)
        where T : IResourceWithEndpoints
    {
        ArgumentNullException.ThrowIfNull(builder);
        var endpoint = new EndpointAnnotation(ProtocolType.Tcp, "http", null, name, port, targetPort ?? port, isProxied: isProxied) { PortVariable = env };
        if (builder.GetEndpoint(endpoint.Name).Exists)
        {
            throw new DistributedApplicationException($"The resource '{builder.Resource.Name}' has an endpoint '{endpoint.Name}' already.");
        }

        return builder.Annotate(endpoint);
    }

    /// <summary>Changes an endpoint, or adds one.</summary>
    /// <param name="builder">The resource.</param>
    /// <param name="endpointName">Name of the endpoint.</param>
    /// <param name="callback">Changes it.</param>
    /// <param name="createIfNotExists">Whether it is added if there is none of this name; otherwise the callback is not called.</param>
    public static IResourceBuilder<T> WithEndpoint<T>(
        this IResourceBuilder<T> builder, string endpointName, Action<EndpointAnnotation> callback, bool createIfNotExists = true)
        where T : IResourceWithEndpoints
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(callback);
        var reference = builder.GetEndpoint(endpointName);
        if (!reference.Exists)
        {
            if (!createIfNotExists)
            {
                return builder;
            }

            builder.Annotate(new EndpointAnnotation(ProtocolType.Tcp, name: endpointName));
        }

        callback(reference.EndpointAnnotation);
        return builder;
    }

    /// <summary>Refers to an endpoint by its name.</summary>
    public static EndpointReference GetEndpoint<T>(this IResourceBuilder<T> builder, string name)
        where T : IResourceWithEndpoints
    {
        ArgumentNullException.ThrowIfNull(builder);
        return new EndpointReference(builder.Resource, name);
    }

    /// <summary>Tells a resource where another one listens, in <c>services__NAME__…</c>.</summary>
    public static IResourceBuilder<TDestination> WithReference<TDestination>(
        this IResourceBuilder<TDestination> builder, IResourceBuilder<IResourceWithServiceDiscovery> source)
        where TDestination : IResourceWithEnvironment
    {
        ArgumentNullException.ThrowIfNull(source);
        return builder.Annotate(new ReferenceAnnotation(source.Resource));
    }

    /// <summary>Starts a resource only when another one runs and is healthy.</summary>
    public static IResourceBuilder<T> WaitFor<T>(this IResourceBuilder<T> builder, IResourceBuilder<IResource> dependency)
        where T : IResourceWithWaitSupport
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(dependency);
        if (ReferenceEquals(builder.Resource, dependency.Resource))
        {
            throw new DistributedApplicationException($"The resource '{builder.Resource.Name}' cannot wait for itself.");
        }

        return builder.Annotate(new WaitAnnotation(dependency.Resource));
    }

    /// <summary>A resource is healthy when a GET of <paramref name="path"/> answers with <paramref name="statusCode"/>.</summary>
    /// <param name="builder">The resource.</param>
    /// <param name="path">Path; <c>/</c> if null.</param>
    /// <param name="statusCode">Expected status; 200 if null.</param>
    /// <param name="endpointName">Endpoint; the first HTTP endpoint if null.</param>
    public static IResourceBuilder<T> WithHttpHealthCheck<T>(
        this IResourceBuilder<T> builder, string? path = null, int? statusCode = null, string? endpointName = null)
        where T : IResourceWithEndpoints
    {
        ArgumentNullException.ThrowIfNull(builder);
        var name = endpointName
            ?? builder.Resource.Annotations.OfType<EndpointAnnotation>().FirstOrDefault(endpoint => endpoint.UriScheme == "http")?.Name
            ?? throw new DistributedApplicationException(
                $"The resource '{builder.Resource.Name}' has no HTTP endpoint to check. Call WithHttpEndpoint before WithHttpHealthCheck.");
        return builder.Annotate(new HealthAnnotation(builder.GetEndpoint(name), path ?? "/", statusCode ?? 200));
    }

    internal static IResourceBuilder<T> Annotate<T>(this IResourceBuilder<T> builder, IResourceAnnotation annotation)
        where T : IResource
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Resource.Annotations.Add(annotation);
        return builder;
    }
}

/// <summary>Projects.</summary>
public static class ProjectResourceBuilderExtensions
{
    /// <summary>Adds a .NET project that is run as a process.</summary>
    /// <param name="builder">The application.</param>
    /// <param name="name">Unique name.</param>
    /// <param name="projectPath">The project file, relative to the app host's folder.</param>
    public static IResourceBuilder<ProjectResource> AddProject(this IDistributedApplicationBuilder builder, string name, string projectPath)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var file = Path.GetFullPath(projectPath, builder.AppHostDirectory);
        return File.Exists(file)
            ? builder.AddResource(new ProjectResource(name)).Annotate(new ProjectAnnotation(file))
            : throw new DistributedApplicationException($"The project of '{name}' is not at '{file}'. Give its path relative to '{builder.AppHostDirectory}'.");
    }

    /// <summary>Chooses the endpoints that stand in <c>ASPNETCORE_URLS</c>; all HTTP endpoints unless this is called.</summary>
    public static IResourceBuilder<ProjectResource> WithEndpointsInEnvironment(
        this IResourceBuilder<ProjectResource> builder, Func<EndpointAnnotation, bool> filter) => builder.Annotate(new EndpointFilterAnnotation(filter));
}

/// <summary>Parameters.</summary>
public static class ParameterResourceBuilderExtensions
{
    /// <summary>Adds a value that resources are given in their environment.</summary>
    /// <param name="builder">The application.</param>
    /// <param name="name">Unique name.</param>
    /// <param name="value">The value.</param>
    /// <param name="publishValueAsDefault">Not used: nothing is published.</param>
    /// <param name="secret">Whether the value must not be shown.</param>
    public static IResourceBuilder<ParameterResource> AddParameter(
        this IDistributedApplicationBuilder builder, string name, string value, bool publishValueAsDefault = false, bool secret = false)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(value);
        return builder.AddResource(new ParameterResource(name, value, secret));
    }
}

/// <summary>Events.</summary>
public static class DistributedApplicationEventingExtensions
{
    /// <summary>Calls back when the resource has ended or could not be started.</summary>
    public static IResourceBuilder<T> OnResourceStopped<T>(
        this IResourceBuilder<T> builder, Func<T, ResourceStoppedEvent, CancellationToken, Task> callback)
        where T : IResource
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(callback);
        return builder.Annotate(new StoppedAnnotation((stopped, cancellationToken) => callback(builder.Resource, stopped, cancellationToken)));
    }
}
