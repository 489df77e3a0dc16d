using System.Text;
using OpenTelemetry.Metrics;

namespace OpenTelemetry.Exporter;

/// <summary>
/// OpenTelemetry's names and units as Prometheus spells them
/// (OpenTelemetry specification, "Prometheus and OpenMetrics compatibility").
/// </summary>
internal static class MetricNames
{
    private const string Total = "_total";

    /// <summary>Name of a metric: characters that are not allowed become <c>_</c>, the unit a suffix, counters end in <c>_total</c>.</summary>
    public static string NameOf(Metric metric)
    {
        var isCounter = metric.MetricType is MetricType.LongSum or MetricType.DoubleSum;
        var isGauge = metric.MetricType is MetricType.LongGauge or MetricType.DoubleGauge;
        var name = Clean(metric.Name);
        if (isCounter && name.EndsWith(Total, StringComparison.Ordinal))
        {
            name = name[..^Total.Length];
        }

        var unit = UnitOf(metric.Unit, isGauge);
        if (unit.Length > 0 && !name.EndsWith(unit, StringComparison.Ordinal))
        {
            name = $"{name}_{unit}";
        }

        return isCounter ? name + Total : name;
    }

    /// <summary>Name of a label.</summary>
    public static string LabelOf(string key) => Clean(key).Replace(':', '_');

    private static string Clean(string name)
    {
        var text = new StringBuilder(name.Length + 1);
        foreach (var character in name)
        {
            if (char.IsAsciiDigit(character) && text.Length == 0)
            {
                text.Append('_').Append(character);
            }
            else if (char.IsAsciiLetterOrDigit(character) || character == ':')
            {
                text.Append(character);
            }
            else if (text.Length == 0 || text[^1] != '_')
            {
                text.Append('_');
            }
        }

        return text.ToString();
    }

    private static string UnitOf(string unit, bool isGauge)
    {
        unit = WithoutAnnotations(unit);
        if (unit == "1")
        {
            return isGauge ? "ratio" : "";
        }

        if (unit.IndexOf('/', StringComparison.Ordinal) is var slash && slash < 0)
        {
            return Clean(Plural(unit));
        }

        var (amount, time) = (Clean(Plural(unit[..slash])), Clean(Per(unit[(slash + 1)..])));
        return (amount.Length > 0 && time.Length > 0) ? $"{amount}_per_{time}" : time.Length > 0 ? $"per_{time}" : amount;
    }

    private static string WithoutAnnotations(string unit)
    {
        var text = new StringBuilder(unit.Length);
        var depth = 0;
        foreach (var character in unit)
        {
            depth += character == '{' ? 1 : 0;
            if (depth == 0)
            {
                text.Append(character);
            }

            depth -= character == '}' && depth > 0 ? 1 : 0;
        }

        return text.ToString();
    }

    private static string Plural(string unit) => unit switch
    {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "%" => "percent",
        "$" => "dollars",
        _ => unit,
    };

    private static string Per(string unit) => unit switch
    {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => unit,
    };
}
