using System.Globalization;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using DistTune.ServiceDefaults;

namespace DistTune.AppHost;

/// <summary>What the services need of their environment.</summary>
internal static class ResourceExtensions
{
    /// <summary>
    /// Adds an endpoint without TLS. HTTP/2 without TLS cannot be negotiated, so each endpoint has its own port and says what it speaks,
    /// which <c>ASPNETCORE_URLS</c> cannot express.
    /// </summary>
    public static IResourceBuilder<ProjectResource> WithKestrelEndpoint(this IResourceBuilder<ProjectResource> project, string name, bool http2) =>
        project
            .WithHttpEndpoint(name: name)
            .WithEndpoint(name, endpoint => endpoint.Transport = http2 ? "http2" : "http")
            .WithEndpointsInEnvironment(_ => false)
            .WithEnvironment($"Kestrel__Endpoints__{name}__Url", $"http://localhost:{project.GetEndpoint(name).Property(EndpointProperty.TargetPort)}")
            .WithEnvironment($"Kestrel__Endpoints__{name}__Protocols", http2 ? "Http2" : "Http1");

    /// <summary>Gives a worker its share of the cores. The libraries below stay on one thread each: the worker's own threads are the lanes.</summary>
    public static IResourceBuilder<ProjectResource> WithCores(this IResourceBuilder<ProjectResource> worker, int threads) =>
        worker
            .WithEnvironment("DISTTUNE_THREADS", threads.ToString(CultureInfo.InvariantCulture))
            .WithEnvironment("OMP_NUM_THREADS", "1")
            .WithEnvironment("OPENBLAS_NUM_THREADS", "1");

    /// <summary>The service ends when this process is gone, even if this process was killed and could not stop it.</summary>
    public static IResourceBuilder<ProjectResource> EndingWithThisProcess(this IResourceBuilder<ProjectResource> service) =>
        service
            .WithEnvironment(ParentProcess.IdVariable, ParentProcess.Current.Id.ToString(CultureInfo.InvariantCulture))
            .WithEnvironment(ParentProcess.StartedVariable, ParentProcess.Current.Started);
}
