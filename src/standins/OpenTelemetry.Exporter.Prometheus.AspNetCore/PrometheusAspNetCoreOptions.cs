namespace OpenTelemetry.Exporter;

/// <summary>How metrics are served.</summary>
public class PrometheusAspNetCoreOptions
{
    /// <summary>Path that is scraped unless another is mapped.</summary>
    public string? ScrapeEndpointPath { get; set; } = "/metrics";

    /// <summary>For how long an answer is repeated, in milliseconds; 0 collects anew each time.</summary>
    public int ScrapeResponseCacheDurationMilliseconds { get; set; } = 300;
}
