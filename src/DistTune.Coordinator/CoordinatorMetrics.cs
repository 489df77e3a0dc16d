using System.Diagnostics.Metrics;
using DistTune.Engine;

namespace DistTune.Coordinator;

/// <summary>What the coordinator sees of the wire.</summary>
internal sealed class CoordinatorMetrics : IDisposable
{
    private readonly Meter _meter = new("DistTune.Coordinator");
    private readonly Counter<long> _bytes;
    private readonly Gauge<double> _heartbeat;
    private readonly TimeProvider _time;

    public CoordinatorMetrics(TimeProvider time)
    {
        _time = time;
        _bytes = _meter.CreateCounter<long>("disttune.gradient.io", "By", "Bytes of gradients received and adapters sent.");
        _heartbeat = _meter.CreateGauge<double>("disttune.worker.last_heartbeat.timestamp", "s", "Unix time of a worker's last report.");
    }

    public void Received(int bytes) => _bytes.Add(bytes, new KeyValuePair<string, object?>("direction", "receive"));

    public void Sent(int bytes) => _bytes.Add(bytes, new KeyValuePair<string, object?>("direction", "transmit"));

    public void Heartbeat(WorkerSession worker) =>
        _heartbeat.Record(_time.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0, new KeyValuePair<string, object?>("rank", worker.Rank));

    public void Dispose() => _meter.Dispose();
}
