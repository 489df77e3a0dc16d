using System.Globalization;
using System.Text;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace OpenTelemetry.Exporter;

/// <summary>Writes the Prometheus text format 0.0.4.</summary>
internal sealed class Exposition
{
    private readonly StringBuilder _text = new();

    /// <summary>Writes where the metrics come from.</summary>
    public void AddTarget(Resource resource)
    {
        Describe("target_info", "gauge", "Target metadata");
        _text.Append("target_info");
        var labels = new Labels(_text);
        foreach (var (key, value) in resource.Attributes)
        {
            labels.Add(key, value);
        }

        labels.Close();
        EndSample(1);
    }

    /// <summary>Writes metrics in the order of their names. Meters may share a name; it is described once, and one name has one type.</summary>
    public void Add(IEnumerable<Metric> metrics)
    {
        var named = metrics
            .Select(metric => (Name: MetricNames.NameOf(metric), Type: TypeOf(metric.MetricType), Metric: metric))
            .Where(entry => entry.Type is not null)
            .GroupBy(entry => entry.Name, StringComparer.Ordinal)
            .OrderBy(group => group.Key, StringComparer.Ordinal);
        foreach (var group in named)
        {
            var first = group.First();
            Describe(group.Key, first.Type!, first.Metric.Description);
            foreach (var entry in group.Where(entry => entry.Type == first.Type))
            {
                AddPoints(entry.Name, entry.Metric);
            }
        }
    }

    public override string ToString() => _text.ToString();

    private static string? TypeOf(MetricType type) => type switch
    {
        MetricType.LongSum or MetricType.DoubleSum => "counter",
        MetricType.LongGauge or MetricType.DoubleGauge or MetricType.LongSumNonMonotonic or MetricType.DoubleSumNonMonotonic => "gauge",
        MetricType.Histogram => "histogram",
        _ => null,
    };

    private void Describe(string name, string type, string? description)
    {
        _text.Append("# TYPE ").Append(name).Append(' ').Append(type).Append('\n');
        if (!string.IsNullOrEmpty(description))
        {
            _text.Append("# HELP ").Append(name).Append(' ');
            _text.Append(description.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)).Append('\n');
        }
    }

    private void AddPoints(string name, Metric metric)
    {
        foreach (ref readonly var point in metric.GetMetricPoints())
        {
            switch (metric.MetricType)
            {
                case MetricType.LongSum or MetricType.LongSumNonMonotonic:
                    BeginSample(name, metric, point).Close();
                    EndSample(point.GetSumLong());
                    break;
                case MetricType.DoubleSum or MetricType.DoubleSumNonMonotonic:
                    BeginSample(name, metric, point).Close();
                    EndSample(point.GetSumDouble());
                    break;
                case MetricType.LongGauge:
                    BeginSample(name, metric, point).Close();
                    EndSample(point.GetGaugeLastValueLong());
                    break;
                case MetricType.DoubleGauge:
                    BeginSample(name, metric, point).Close();
                    EndSample(point.GetGaugeLastValueDouble());
                    break;
                default:
                    AddHistogram(name, metric, point);
                    break;
            }
        }
    }

    private void AddHistogram(string name, Metric metric, in MetricPoint point)
    {
        long below = 0;
        foreach (var bucket in point.GetHistogramBuckets())
        {
            below += bucket.BucketCount;
            var labels = BeginSample(name + "_bucket", metric, point);
            labels.Add("le", Number(bucket.ExplicitBound));
            labels.Close();
            EndSample(below);
        }

        BeginSample(name + "_sum", metric, point).Close();
        EndSample(point.GetHistogramSum());
        BeginSample(name + "_count", metric, point).Close();
        EndSample(point.GetHistogramCount());
    }

    private Labels BeginSample(string name, Metric metric, in MetricPoint point)
    {
        _text.Append(name);
        var labels = new Labels(_text);
        labels.Add("otel_scope_name", metric.MeterName);
        if (!string.IsNullOrEmpty(metric.MeterVersion))
        {
            labels.Add("otel_scope_version", metric.MeterVersion);
        }

        foreach (var (key, value) in point.Tags)
        {
            labels.Add(key, value);
        }

        return labels;
    }

    private void EndSample(double value) => _text.Append(' ').Append(Number(value)).Append('\n');

    private void EndSample(long value) => _text.Append(' ').Append(value.ToString(CultureInfo.InvariantCulture)).Append('\n');

    private static string Number(double value) =>
        double.IsPositiveInfinity(value) ? "+Inf" : double.IsNegativeInfinity(value) ? "-Inf" : value.ToString(CultureInfo.InvariantCulture);

    /// <summary>The labels of one sample.</summary>
    private struct Labels(StringBuilder text)
    {
        private bool _any;

        public void Add(string key, object? value)
        {
            text.Append(_any ? ',' : '{').Append(MetricNames.LabelOf(key)).Append("=\"");
            _any = true;
            foreach (var character in TextOf(value))
            {
                _ = character switch
                {
                    '\\' => text.Append("\\\\"),
                    '"' => text.Append("\\\""),
                    '\n' => text.Append("\\n"),
                    _ => text.Append(character),
                };
            }

            text.Append('"');
        }

        public readonly void Close()
        {
            if (_any)
            {
                text.Append('}');
            }
        }

        private static string TextOf(object? value) => value switch
        {
            null => "",
            bool truth => truth ? "true" : "false",
            IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
            _ => value.ToString() ?? "",
        };
    }
}
