using Aspire.Hosting.Eventing;

namespace Aspire.Hosting.ApplicationModel;

/// <summary>The states that resources pass through.</summary>
public static class KnownResourceStates
{
    /// <summary>Not begun.</summary>
    public static readonly string NotStarted = "NotStarted";

    /// <summary>Waits for others.</summary>
    public static readonly string Waiting = "Waiting";

    /// <summary>Is being started.</summary>
    public static readonly string Starting = "Starting";

    /// <summary>Runs.</summary>
    public static readonly string Running = "Running";

    /// <summary>Could not be started, or what it waits for has ended.</summary>
    public static readonly string FailedToStart = "FailedToStart";

    /// <summary>Is being stopped.</summary>
    public static readonly string Stopping = "Stopping";

    /// <summary>Has ended with a fault, or because it was stopped.</summary>
    public static readonly string Exited = "Exited";

    /// <summary>Has ended by itself with exit code 0.</summary>
    public static readonly string Finished = "Finished";

    /// <summary>The states that nothing follows.</summary>
    public static readonly IReadOnlyList<string> TerminalStates = [Finished, FailedToStart, Exited];
}

/// <summary>The name of a state.</summary>
/// <param name="Text">One of <see cref="KnownResourceStates"/>.</param>
/// <param name="Style">How a dashboard shows it; not used.</param>
public sealed record ResourceStateSnapshot(string Text, string? Style)
{
    /// <summary>A state without a style.</summary>
    public static implicit operator ResourceStateSnapshot?(string? s) => s is null ? null : new ResourceStateSnapshot(s, null);
}

/// <summary>What is known of a resource at one moment.</summary>
public sealed record CustomResourceSnapshot
{
    /// <summary>Where it stands.</summary>
    public ResourceStateSnapshot? State { get; init; }

    /// <summary>How its process ended; 128 + n if signal n ended it.</summary>
    public int? ExitCode { get; init; }
}

/// <summary>A resource's new state.</summary>
/// <param name="resource">The resource.</param>
/// <param name="resourceId">Its id; its name here.</param>
/// <param name="snapshot">The state.</param>
public class ResourceEvent(IResource resource, string resourceId, CustomResourceSnapshot snapshot)
{
    /// <summary>The resource.</summary>
    public IResource Resource { get; } = resource;

    /// <summary>Its id; its name here.</summary>
    public string ResourceId { get; } = resourceId;

    /// <summary>The state.</summary>
    public CustomResourceSnapshot Snapshot { get; } = snapshot;
}

/// <summary>Published when a resource has ended or could not be started.</summary>
/// <param name="resource">The resource.</param>
/// <param name="services">The application's services.</param>
/// <param name="resourceEvent">Its last state.</param>
public class ResourceStoppedEvent(IResource resource, IServiceProvider services, ResourceEvent resourceEvent) : IDistributedApplicationResourceEvent
{
    /// <inheritdoc />
    public IResource Resource { get; } = resource;

    /// <summary>The application's services.</summary>
    public IServiceProvider Services { get; } = services;

    /// <summary>Its last state.</summary>
    public ResourceEvent ResourceEvent { get; } = resourceEvent;
}
