using System.Diagnostics;
using System.Text.RegularExpressions;
using Aspire.Hosting;

namespace DistTune.Hosting.Tests;

public sealed partial class ExpositionTests
{
    [Fact]
    public async Task Metrics_are_spelled_as_the_official_exporter_spells_them()
    {
        var expected = File.ReadAllLines(Repository.PathOf("tests", "golden", "prometheus", "exposition.txt"));

        var text = await ScrapeAsync();

        // Which version of the SDK runs is no matter of spelling.
        Assert.Equal(expected.Select(WithoutVersion), text.Split('\n').Where(line => OwnLine().IsMatch(line)).Select(WithoutVersion));
    }

    [Fact]
    public async Task Prometheus_can_parse_the_metrics()
    {
        var promtool = PathVariable().Select(folder => Path.Combine(folder, "promtool")).FirstOrDefault(File.Exists);
        Assert.SkipWhen(promtool is null, "promtool is not installed (Debian package prometheus).");
        var text = await ScrapeAsync();

        using var check = Process.Start(new ProcessStartInfo(promtool!, ["check", "metrics"]) { RedirectStandardInput = true, RedirectStandardError = true })!;
        await check.StandardInput.WriteAsync(text);
        check.StandardInput.Close();
        var complaints = await check.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await check.WaitForExitAsync(TestContext.Current.CancellationToken);

        // 0: fine. 3: parsed, but with remarks on style, such as a missing help text. Anything else: not parsed.
        Assert.True(check.ExitCode is 0 or 3, complaints);
    }

    private static async Task<string> ScrapeAsync()
    {
        await using var run = new AppHostRun();
        var server = run.AddChild("server", "serve").WithHttpEndpoint()
            .WithEnvironment("OTEL_SERVICE_NAME", "sample")
            .WithEnvironment("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=abc,x.y=a\"b");
        await run.StartAsync();
        await run.LineAsync("Application started");
        using var client = new HttpClient { BaseAddress = new Uri(server.GetEndpoint("http").Url) };
        await client.GetStringAsync("/record", TestContext.Current.CancellationToken);
        return await client.GetStringAsync("/metrics", TestContext.Current.CancellationToken);
    }

    private static IEnumerable<string> PathVariable() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);

    private static string WithoutVersion(string line) => Version().Replace(line, "");

    [GeneratedRegex("^(# (TYPE|HELP) )?(disttune_|target_info)")]
    private static partial Regex OwnLine();

    [GeneratedRegex("telemetry_sdk_version=\"[^\"]*\"")]
    private static partial Regex Version();
}
