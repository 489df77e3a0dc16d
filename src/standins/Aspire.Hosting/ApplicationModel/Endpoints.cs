using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;

namespace Aspire.Hosting.ApplicationModel;

/// <summary>A port that a resource listens on.</summary>
public sealed class EndpointAnnotation : IResourceAnnotation
{
    /// <summary>Describes an endpoint.</summary>
    /// <param name="protocol">Transport protocol; only TCP is served.</param>
    /// <param name="uriScheme">Scheme of its URL; <c>tcp</c> if null.</param>
    /// <param name="transport"><c>http</c> or <c>http2</c>; follows the scheme if null.</param>
    /// <param name="name">Name; the scheme if null.</param>
    /// <param name="port">The port clients use.</param>
    /// <param name="targetPort">The port the resource listens on; a free one if both are null.</param>
    /// <param name="isExternal">Whether it is meant for the outside.</param>
    /// <param name="isProxied">Not used: nothing is proxied.</param>
    public EndpointAnnotation(
        ProtocolType protocol,
        string? uriScheme = null,
        string? transport = null,
        string? name = null,
        int? port = null,
        int? targetPort = null,
        bool? isExternal = null,
        bool isProxied = true)
    {
        Protocol = protocol;
        UriScheme = uriScheme ?? "tcp";
        Transport = transport ?? (UriScheme.StartsWith("http", StringComparison.Ordinal) ? "http" : "tcp");
        Name = name ?? UriScheme;
        Port = port;
        TargetPort = targetPort;
        IsExternal = isExternal ?? false;
        IsProxied = isProxied;
    }

    /// <summary>Name of the endpoint within its resource.</summary>
    public string Name { get; set; }

    /// <summary>Transport protocol.</summary>
    public ProtocolType Protocol { get; set; }

    /// <summary>The port clients use.</summary>
    public int? Port { get; set; }

    /// <summary>The port the resource listens on.</summary>
    public int? TargetPort { get; set; }

    /// <summary>Host name in its URL.</summary>
    public string TargetHost { get; set; } = "localhost";

    /// <summary>Scheme of its URL.</summary>
    public string UriScheme { get; set; }

    /// <summary><c>http</c> or <c>http2</c>.</summary>
    public string Transport { get; set; }

    /// <summary>Whether it is meant for the outside.</summary>
    public bool IsExternal { get; set; }

    /// <summary>Not used: nothing is proxied.</summary>
    public bool IsProxied { get; set; }

    /// <summary>Environment variable of the resource that is to hold the port, if any.</summary>
    internal string? PortVariable { get; set; }
}

/// <summary>What of an endpoint is meant.</summary>
public enum EndpointProperty
{
    /// <summary>The whole URL.</summary>
    Url = 0,

    /// <summary>The host.</summary>
    Host = 1,

    /// <summary>The port clients use.</summary>
    Port = 3,

    /// <summary>The scheme.</summary>
    Scheme = 4,

    /// <summary>The port the resource listens on.</summary>
    TargetPort = 5,

    /// <summary>Host and port.</summary>
    HostAndPort = 6,
}

/// <summary>An endpoint by its name; has a value once the application runs.</summary>
public sealed class EndpointReference : IManifestExpressionProvider, IValueProvider, IValueWithReferences
{
    /// <summary>Refers to an endpoint.</summary>
    /// <param name="owner">The resource.</param>
    /// <param name="endpoint">The endpoint.</param>
    public EndpointReference(IResourceWithEndpoints owner, EndpointAnnotation endpoint)
        : this(owner, (endpoint ?? throw new ArgumentNullException(nameof(endpoint))).Name)
    {
    }

    internal EndpointReference(IResourceWithEndpoints owner, string endpointName)
    {
        Resource = owner ?? throw new ArgumentNullException(nameof(owner));
        EndpointName = endpointName ?? throw new ArgumentNullException(nameof(endpointName));
    }

    /// <summary>The resource.</summary>
    public IResourceWithEndpoints Resource { get; }

    /// <summary>The endpoint's name.</summary>
    public string EndpointName { get; }

    /// <summary>Whether the resource has an endpoint of this name.</summary>
    public bool Exists => Find() is not null;

    /// <summary>Whether its port is known.</summary>
    public bool IsAllocated => Find()?.TargetPort is not null;

    /// <summary>The endpoint.</summary>
    public EndpointAnnotation EndpointAnnotation => Find() ?? throw new InvalidOperationException(
        $"The resource '{Resource.Name}' has no endpoint '{EndpointName}'. Add it with WithHttpEndpoint(name: \"{EndpointName}\").");

    /// <summary>The scheme.</summary>
    public string Scheme => EndpointAnnotation.UriScheme;

    /// <summary>The host.</summary>
    public string Host => EndpointAnnotation.TargetHost;

    /// <summary>The port clients use; the same as the resource's own.</summary>
    public int Port => TargetPort ?? throw new InvalidOperationException(
        $"The endpoint '{EndpointName}' of '{Resource.Name}' has no port before the application runs.");

    /// <summary>The port the resource listens on.</summary>
    public int? TargetPort => EndpointAnnotation.TargetPort;

    /// <summary>The whole URL.</summary>
    public string Url => string.Create(CultureInfo.InvariantCulture, $"{Scheme}://{Host}:{Port}");

    string IManifestExpressionProvider.ValueExpression => $"{{{Resource.Name}.bindings.{EndpointName}.url}}";

    IEnumerable<object> IValueWithReferences.References => [Resource];

    /// <summary>A part of the endpoint.</summary>
    public EndpointReferenceExpression Property(EndpointProperty property) => new(this, property);

    /// <inheritdoc />
    public ValueTask<string?> GetValueAsync(CancellationToken cancellationToken = default) => new(Url);

    private EndpointAnnotation? Find() =>
        Resource.Annotations.OfType<EndpointAnnotation>().FirstOrDefault(endpoint => string.Equals(endpoint.Name, EndpointName, StringComparison.OrdinalIgnoreCase));
}

/// <summary>A part of an endpoint; has a value once the application runs.</summary>
/// <param name="endpointReference">The endpoint.</param>
/// <param name="property">The part.</param>
public class EndpointReferenceExpression(EndpointReference endpointReference, EndpointProperty property)
    : IManifestExpressionProvider, IValueProvider, IValueWithReferences
{
    /// <summary>The endpoint.</summary>
    public EndpointReference Endpoint { get; } = endpointReference ?? throw new ArgumentNullException(nameof(endpointReference));

    /// <summary>The part.</summary>
    public EndpointProperty Property { get; } = property;

    /// <inheritdoc />
    public string ValueExpression => $"{{{Endpoint.Resource.Name}.bindings.{Endpoint.EndpointName}.{Property}}}";

    IEnumerable<object> IValueWithReferences.References => [Endpoint];

    /// <inheritdoc />
    public ValueTask<string?> GetValueAsync(CancellationToken cancellationToken = default) => new(Property switch
    {
        EndpointProperty.Url => Endpoint.Url,
        EndpointProperty.Host => Endpoint.Host,
        EndpointProperty.Port or EndpointProperty.TargetPort => Endpoint.Port.ToString(CultureInfo.InvariantCulture),
        EndpointProperty.Scheme => Endpoint.Scheme,
        EndpointProperty.HostAndPort => string.Create(CultureInfo.InvariantCulture, $"{Endpoint.Host}:{Endpoint.Port}"),
        _ => throw new UnreachableException($"No endpoint property {Property}."),
    });
}
