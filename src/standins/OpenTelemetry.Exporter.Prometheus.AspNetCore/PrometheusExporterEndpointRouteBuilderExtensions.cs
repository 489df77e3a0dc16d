using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Maps the endpoint that is scraped.</summary>
public static class PrometheusExporterEndpointRouteBuilderExtensions
{
    private const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>Maps the path of the exporter's options.</summary>
    public static IEndpointConventionBuilder MapPrometheusScrapingEndpoint(this IEndpointRouteBuilder endpoints) => Map(endpoints, null);

    /// <summary>Maps a path.</summary>
    public static IEndpointConventionBuilder MapPrometheusScrapingEndpoint(this IEndpointRouteBuilder endpoints, string path) => Map(endpoints, path);

    private static IEndpointConventionBuilder Map(IEndpointRouteBuilder endpoints, string? path)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        var exporter = endpoints.ServiceProvider.GetService<PrometheusExporter>()
            ?? throw new ArgumentException("There is no Prometheus exporter to serve. Call AddPrometheusExporter in WithMetrics.", nameof(endpoints));

        // The exporter collects through the provider that it belongs to.
        _ = endpoints.ServiceProvider.GetRequiredService<MeterProvider>();
        return endpoints.MapGet(path ?? exporter.Options.ScrapeEndpointPath ?? "/metrics", async (HttpContext context) =>
        {
            var text = await exporter.ScrapeAsync(context.RequestAborted);
            if (text.IsEmpty)
            {
                context.Response.StatusCode = StatusCodes.Status500InternalServerError;
                return;
            }

            context.Response.ContentType = ContentType;
            context.Response.ContentLength = text.Length;
            await context.Response.BodyWriter.WriteAsync(text, context.RequestAborted);
        });
    }
}
