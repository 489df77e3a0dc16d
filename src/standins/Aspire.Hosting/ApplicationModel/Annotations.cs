namespace Aspire.Hosting.ApplicationModel;

// What the app host said about a resource, in the order in which it was said. These differ from the package's own annotations, and so are not public.

internal sealed record ProjectAnnotation(string ProjectFile) : IResourceAnnotation;

internal sealed record EnvironmentAnnotation(string Name, object Value) : IResourceAnnotation;

internal sealed record ArgumentsAnnotation(IReadOnlyList<object> Arguments) : IResourceAnnotation;

internal sealed record ReferenceAnnotation(IResourceWithEndpoints Source) : IResourceAnnotation;

internal sealed record WaitAnnotation(IResource Dependency) : IResourceAnnotation;

internal sealed record HealthAnnotation(EndpointReference Endpoint, string Path, int StatusCode) : IResourceAnnotation;

internal sealed record StoppedAnnotation(Func<ResourceStoppedEvent, CancellationToken, Task> Callback) : IResourceAnnotation;

internal sealed record EndpointFilterAnnotation(Func<EndpointAnnotation, bool> Include) : IResourceAnnotation;
