using System.Diagnostics;
using System.Text;
using OpenTelemetry.Metrics;

namespace OpenTelemetry.Exporter;

/// <summary>Collects when it is scraped, one scrape at a time; scrapes that come together share an answer.</summary>
[ExportModes(ExportModes.Pull)]
internal sealed class PrometheusExporter(PrometheusAspNetCoreOptions options) : BaseExporter<Metric>, IPullMetricExporter
{
    private readonly SemaphoreSlim _gate = new(1, 1);
    private ReadOnlyMemory<byte> _text;
    private long _collectedAt;

    public PrometheusAspNetCoreOptions Options => options;

    public Func<int, bool>? Collect { get; set; }

    /// <summary>The exposition; empty if the SDK could not collect.</summary>
    public async Task<ReadOnlyMemory<byte>> ScrapeAsync(CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        try
        {
            if (_text.IsEmpty || Stopwatch.GetElapsedTime(_collectedAt).TotalMilliseconds >= options.ScrapeResponseCacheDurationMilliseconds)
            {
                _text = default;
                Collect!(Timeout.Infinite);
                _collectedAt = Stopwatch.GetTimestamp();
            }

            return _text;
        }
        finally
        {
            _gate.Release();
        }
    }

    public override ExportResult Export(in Batch<Metric> batch)
    {
        var exposition = new Exposition();
        exposition.AddTarget(ParentProvider.GetResource());
        var metrics = new List<Metric>((int)batch.Count);
        foreach (var metric in batch)
        {
            metrics.Add(metric);
        }

        exposition.Add(metrics);
        _text = Encoding.UTF8.GetBytes(exposition.ToString());
        return ExportResult.Success;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _gate.Dispose();
        }

        base.Dispose(disposing);
    }
}
