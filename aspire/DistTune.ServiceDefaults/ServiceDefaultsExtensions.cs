using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;

namespace DistTune.ServiceDefaults;

/// <summary>What every DistTune service has in common, in two calls.</summary>
public static class ServiceDefaultsExtensions
{
    // The app host waits 8 s between SIGTERM and killing the tree; a service is through before.
    private static readonly TimeSpan ShutdownTimeout = TimeSpan.FromSeconds(6);

    /// <summary>
    /// Adds metrics and traces, health checks, one-line logging, an orderly stop, and the end of the process when its parent is gone.
    /// </summary>
    /// <param name="builder">The service's builder.</param>
    /// <returns><paramref name="builder"/>, for chaining.</returns>
    public static IHostApplicationBuilder AddServiceDefaults(this IHostApplicationBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.AddOneLineLogging();
        builder.AddTelemetry();
        builder.AddLiveness();
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddHostedService<ParentWatch>();

        // On Kubernetes a drain may take longer; DOTNET_shutdownTimeoutSeconds then says how long.
        if (builder.Configuration["shutdownTimeoutSeconds"] is null)
        {
            builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = ShutdownTimeout);
        }

        return builder;
    }

    /// <summary>
    /// Maps <c>/metrics</c> (Prometheus), <c>/health</c> (readiness: every check) and <c>/alive</c> (liveness), in every environment:
    /// Kubernetes probes them in production.
    /// </summary>
    /// <param name="app">The service.</param>
    /// <returns><paramref name="app"/>, for chaining.</returns>
    public static WebApplication MapDefaultEndpoints(this WebApplication app)
    {
        ArgumentNullException.ThrowIfNull(app);
        app.MapPrometheusScrapingEndpoint("/metrics");
        app.MapLiveness();
        return app;
    }

    private static void AddOneLineLogging(this IHostApplicationBuilder builder)
    {
        builder.Logging.ClearProviders();
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Logging.AddConsole(options => options.FormatterName = LineFormatter.FormatterName);
        builder.Logging.AddConsoleFormatter<LineFormatter, ConsoleFormatterOptions>();

        // A line a request would bury the run's own lines; the request metrics say how many and how slow.
        builder.Logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning);
        builder.Logging.AddFilter("Grpc", LogLevel.Warning);
    }
}
