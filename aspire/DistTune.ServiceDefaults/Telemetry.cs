using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace DistTune.ServiceDefaults;

/// <summary>Metrics and traces: always scraped from <c>/metrics</c>, pushed by OTLP when an endpoint is named.</summary>
internal static class Telemetry
{
    private const string OwnSources = "DistTune.*";

    // OpenTelemetry's default buckets are meant for milliseconds. Ours are seconds, from a kernel's launch to a step of a 70B model.
    private static readonly double[] SecondsBuckets =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 600];

    public static void AddTelemetry(this IHostApplicationBuilder builder)
    {
        var telemetry = builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => NameService(resource, builder))
            .WithMetrics(metrics => metrics
                .AddMeter(OwnSources, "Microsoft.AspNetCore.Hosting", "System.Runtime")
                .AddView(ViewOf)
                .AddPrometheusExporter())
            .WithTracing(tracing =>
            {
                tracing.AddSource(OwnSources);

                // The default sampler follows the parent. A call's parent can be ASP.NET Core's own, unrecorded activity, and a whole
                // step would vanish with it.
                if (builder.Configuration["OTEL_TRACES_SAMPLER"] is null)
                {
                    tracing.SetSampler(new AlwaysOnSampler());
                }
            });

        if (!string.IsNullOrWhiteSpace(builder.Configuration["OTEL_EXPORTER_OTLP_ENDPOINT"]))
        {
            telemetry.UseOtlpExporter();
        }
    }

    private static void NameService(ResourceBuilder resource, IHostApplicationBuilder builder)
    {
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are read by the SDK itself and must win.
        if (builder.Configuration["OTEL_SERVICE_NAME"] is null)
        {
            resource.AddService(builder.Environment.ApplicationName, autoGenerateServiceInstanceId: false);
        }
    }

    private static ExplicitBucketHistogramConfiguration? ViewOf(Instrument instrument) =>
        instrument is Histogram<double> { Unit: "s" } && instrument.Meter.Name.StartsWith("DistTune.", StringComparison.Ordinal)
            ? new ExplicitBucketHistogramConfiguration { Boundaries = SecondsBuckets }
            : null;
}
