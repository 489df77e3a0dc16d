using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Runtime.InteropServices;
using DistTune.ServiceDefaults;
using Microsoft.Extensions.Diagnostics.HealthChecks;

// One behaviour a verb; the tests choose by arguments.
switch (args)
{
    case ["environment", .. var names]:
        foreach (var name in names)
        {
            Console.WriteLine($"{name}={Environment.GetEnvironmentVariable(name)}");
        }

        return 0;

    case ["exit", var code]:
        Console.Error.WriteLine("last words");
        return int.Parse(code, CultureInfo.InvariantCulture);

    // Deaf to SIGTERM, with a process of its own below.
    case ["stubborn"]:
        using (PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => context.Cancel = true))
        using (var grandchild = Process.Start("sleep", "600"))
        {
            Console.WriteLine($"pids {Environment.ProcessId} {grandchild.Id}");
            Thread.Sleep(Timeout.Infinite);
        }

        return 0;

    // Ends at once on SIGTERM and leaves a process below to itself.
    case ["careless"]:
        var left = Process.Start("sleep", "600");
        Console.WriteLine($"pids {Environment.ProcessId} {left.Id}");
        Thread.Sleep(Timeout.Infinite);
        return 0;

    case ["serve", .. var rest]:
        await ServeAsync(rest);
        return 0;

    default:
        Console.Error.WriteLine("usage: environment NAME... | exit CODE | stubborn | careless | serve [HEALTHY_AFTER_MILLISECONDS]");
        return 2;
}

static async Task ServeAsync(string[] rest)
{
    var builder = WebApplication.CreateBuilder();
    builder.AddServiceDefaults();
    var delay = TimeSpan.FromMilliseconds(rest is [var text] ? int.Parse(text, CultureInfo.InvariantCulture) : 0);
    var clock = Stopwatch.StartNew();
    builder.Services.AddHealthChecks().AddCheck("delay", () => clock.Elapsed >= delay ? HealthCheckResult.Healthy() : HealthCheckResult.Unhealthy());
    var app = builder.Build();
    app.MapDefaultEndpoints();

    // Instruments of every kind and label spelling, for the tests of the exposition.
    app.MapGet("/record", () =>
    {
        Samples.Record();
        return "recorded";
    });
    Console.WriteLine($"pids {Environment.ProcessId}");
    await app.RunAsync();
    Console.WriteLine("stopped in order");
}

internal static class Samples
{
    private static readonly Meter Meter = new("DistTune.Sample", "1.2.3");
    private static readonly Counter<long> Tokens = Meter.CreateCounter<long>("disttune.training.tokens", "{token}", "Tokens: \"all\" \\ kinds.\nTwo lines.");
    private static readonly Counter<double> Io = Meter.CreateCounter<double>("disttune.gradient.io", "By");
    private static readonly UpDownCounter<long> Workers = Meter.CreateUpDownCounter<long>("disttune.worker.count", "{worker}", "Workers by state.");
    private static readonly Gauge<double> Loss = Meter.CreateGauge<double>("disttune.training.loss", "{nat}", "Loss of the last step.");
    private static readonly Gauge<double> Ratio = Meter.CreateGauge<double>("disttune.training.mfu.ratio", "1", "Share of the peak.");
    private static readonly Gauge<long> Size = Meter.CreateGauge<long>("disttune.checkpoint.size", "By");
    private static readonly Gauge<double> Odd = Meter.CreateGauge<double>("disttune.odd-name/with.signs", "m/s");
    private static readonly Gauge<double> Suffixed = Meter.CreateGauge<double>("disttune.last.timestamp.seconds", "s");
    private static readonly Histogram<double> Steps = Meter.CreateHistogram<double>("disttune.training.step.duration", "s", "Wall time of a step.");
    private static readonly Histogram<long> Rows = Meter.CreateHistogram<long>("disttune.rows", "{row}");

    public static void Record()
    {
        Tokens.Add(5, new("kind", "trai\"ned\\"), new("worker.rank", "0"));
        Tokens.Add(7, new("kind", "line\nbreak"), new("worker.rank", 1));
        Io.Add(1.5);
        Workers.Add(2, new KeyValuePair<string, object?>("state", "ready"));
        Loss.Record(double.NaN, new KeyValuePair<string, object?>("run", "bad"));
        Loss.Record(double.PositiveInfinity, new KeyValuePair<string, object?>("run", "worse"));
        Loss.Record(0.1 + 0.2, new KeyValuePair<string, object?>("run", "sum"));
        Ratio.Record(1e-7);
        Size.Record(long.MaxValue);
        Odd.Record(-12345678.5);
        Suffixed.Record(1e21);
        Steps.Record(0.3, new("rank", "0"), new("1st", true), new("phase", "forward"));
        Steps.Record(1e9, new("rank", "0"), new("1st", true), new("phase", "forward"));
        Rows.Record(3);
    }
}
