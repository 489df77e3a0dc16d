using System.Collections.ObjectModel;

namespace Aspire.Hosting.ApplicationModel;

/// <summary>A part of the application.</summary>
public interface IResource
{
    /// <summary>Unique name.</summary>
    string Name { get; }

    /// <summary>What the app host said about it.</summary>
    ResourceAnnotationCollection Annotations { get; }
}

/// <summary>Something said about a resource.</summary>
public interface IResourceAnnotation;

/// <summary>A resource that runs somewhere.</summary>
public interface IComputeResource : IResource;

/// <summary>A resource that could receive files of a container.</summary>
public interface IContainerFilesDestinationResource : IResource;

/// <summary>A resource that takes command-line arguments.</summary>
public interface IResourceWithArgs : IResource;

/// <summary>A resource that listens.</summary>
public interface IResourceWithEndpoints : IResource;

/// <summary>A resource that takes environment variables.</summary>
public interface IResourceWithEnvironment : IResource;

/// <summary>A resource that could be probed.</summary>
public interface IResourceWithProbes : IResource;

/// <summary>A resource that can wait for others.</summary>
public interface IResourceWithWaitSupport : IResource;

/// <summary>Annotations in the order in which they were made.</summary>
public sealed class ResourceAnnotationCollection : Collection<IResourceAnnotation>;

/// <summary>Base of the resources.</summary>
/// <param name="name">Unique name.</param>
public abstract class Resource(string name) : IResource
{
    /// <inheritdoc />
    public virtual string Name { get; } = name ?? throw new ArgumentNullException(nameof(name));

    /// <inheritdoc />
    public virtual ResourceAnnotationCollection Annotations { get; } = [];
}

/// <summary>A .NET project that is run as a process.</summary>
/// <param name="name">Unique name.</param>
public class ProjectResource(string name) : Resource(name), IComputeResource, IContainerFilesDestinationResource, IResourceWithArgs,
    IResourceWithEndpoints, IResourceWithEnvironment, IResourceWithProbes, IResourceWithWaitSupport, IResourceWithServiceDiscovery;

/// <summary>A value that is given from outside, possibly a secret.</summary>
public class ParameterResource : Resource, IManifestExpressionProvider, IValueProvider
{
    private readonly string _value;

    internal ParameterResource(string name, string value, bool secret)
        : base(name)
    {
        _value = value;
        Secret = secret;
    }

    /// <summary>Whether the value must not be shown.</summary>
    public bool Secret { get; }

    /// <inheritdoc />
    public string ValueExpression => $"{{{Name}.value}}";

    /// <inheritdoc />
    public ValueTask<string?> GetValueAsync(CancellationToken cancellationToken) => new(_value);
}
