using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using Aspire.Hosting.Running;
using DistTune.AppHost;
using DistTune.ServiceDefaults;

namespace DistTune.Hosting.Tests;

/// <summary>The app host with the real coordinator and two real workers.</summary>
public sealed partial class LaunchTests
{
    private const int Epochs = 4;
    private const int Steps = 12;

    /// <summary>Of a run that goes on long after a test has acted on its first steps.</summary>
    private const int ManyEpochs = 30;

    [Fact]
    public async Task A_run_is_one_trace_per_step_through_every_process_and_shows_every_metric_of_the_dashboard()
    {
        await using var receiver = await OtlpReceiver.StartAsync();
        await using var launch = new Launch();
        launch.Start(Epochs, ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.Address), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), ("OTEL_BSP_SCHEDULE_DELAY", "200"));
        await launch.PrintsAsync("coordinator | ");
        await launch.PrintsAsync("Application started");

        var metrics = await ScrapeUntilTheEndAsync(launch);

        Assert.True(await launch.EndsAsync() == 0, launch.Output);
        Assert.True(File.Exists(Path.Combine(launch.OutputFolder, "adapter", "adapter_model.safetensors")), launch.Output);
        Assert.Equal([], Dashboard.Metrics().Except(metrics, StringComparer.Ordinal));
        AssertOneTracePerStep(receiver.Spans);
    }

    [Fact]
    public async Task A_launch_that_is_told_to_end_ends_within_ten_seconds_and_leaves_nothing()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Signals and process trees are read from /proc.");
        await using var launch = new Launch();
        launch.Start(epochs: 5000);
        await launch.PrintsAsync("Step 2/");
        var below = ProcessTree.Below(launch.ProcessId);
        Assert.Equal(3, below.Count);
        var clock = Stopwatch.StartNew();

        Signals.Send(launch.ProcessId, Signals.Terminate);
        await launch.EndsAsync();

        Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(10));
        Assert.All(below, process => Assert.False(new ParentProcess(process.Id, process.Started).IsAlive));
    }

    [Fact]
    public async Task A_launch_listens_within_the_machine_alone_and_its_token_is_its_own_and_seen_by_nobody()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Sockets and command lines are read from /proc.");
        await using var launch = new Launch();
        await using var other = new Launch();
        launch.Start(epochs: 5000);
        other.Start(epochs: 5000);
        await launch.PrintsAsync("Step 2/");
        await other.PrintsAsync("Step 2/");
        var services = ProcessTree.Below(launch.ProcessId).Select(process => process.Id).ToList();
        var token = Assert.Single(services.Select(TokenOf).Distinct());

        Assert.Equal(64, token!.Length);
        Assert.NotEqual(token, TokenOf(CoordinatorBelow(other.ProcessId)));
        Assert.All(services.Append(launch.ProcessId), id => Assert.DoesNotContain(token, ProcessFacts.CommandLine(id), StringComparison.Ordinal));
        Assert.All(services.Append(launch.ProcessId).SelectMany(ProcessFacts.ListensOn), address => Assert.True(IPAddress.IsLoopback(address), address.ToString()));
        Assert.All(services, id => Assert.NotEmpty(ProcessFacts.ListensOn(id)));
        Assert.DoesNotContain(token, launch.Output, StringComparison.Ordinal);

        static string? TokenOf(int id) => ProcessFacts.Variable(id, "DISTTUNE_TOKEN");
    }

    [Fact]
    public async Task Services_end_by_themselves_when_the_app_host_was_killed()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Signals and process trees are read from /proc.");
        await using var launch = new Launch();
        launch.Start(epochs: 5000);
        await launch.PrintsAsync("Step 2/");
        var below = ProcessTree.Below(launch.ProcessId);
        Assert.Equal(3, below.Count);
        var clock = Stopwatch.StartNew();

        Signals.Send(launch.ProcessId, Signals.Kill);

        while (below.Any(process => new ParentProcess(process.Id, process.Started).IsAlive) && clock.Elapsed < TimeSpan.FromSeconds(10))
        {
            await Task.Delay(100, TestContext.Current.CancellationToken);
        }

        Assert.All(below, process => Assert.False(new ParentProcess(process.Id, process.Started).IsAlive));
    }

    [Fact]
    public async Task A_coordinator_that_is_killed_is_started_again_and_the_adapter_is_the_same()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Signals and process trees are read from /proc.");
        await using var whole = new Launch();
        whole.Start(ManyEpochs);
        Assert.True(await whole.EndsAsync() == 0, whole.Output);
        await using var disturbed = new Launch();
        disturbed.Start(ManyEpochs);
        await disturbed.PrintsAsync("Step 4/");

        Signals.Send(CoordinatorBelow(disturbed.ProcessId), Signals.Kill);

        Assert.True(await disturbed.EndsAsync() == 0, disturbed.Output);
        Assert.Contains("it is started again in 0.25 s", disturbed.Output, StringComparison.Ordinal);
        Assert.Contains("goes on in term 2 after step", disturbed.Output, StringComparison.Ordinal);
        Assert.Equal(AdapterOf(whole), AdapterOf(disturbed));
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(130, false)]
    [InlineData(75, true)]
    [InlineData(134, true)]
    [InlineData(137, true)]
    [InlineData(null, true)]
    public void Only_a_coordinator_that_had_more_to_do_is_started_again(int? exitCode, bool again) =>
        Assert.Equal(again, new CoordinatorRestarts(TimeProvider.System).PauseAfter(exitCode) is not null);

    [Fact]
    public void Pauses_between_restarts_grow_and_a_coordinator_that_dies_ten_times_is_given_up_but_not_one_that_lived()
    {
        var time = new Microsoft.Extensions.Time.Testing.FakeTimeProvider();
        var restarts = new CoordinatorRestarts(time);

        Assert.Equal([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30], Enumerable.Range(0, 10).Select(_ => restarts.PauseAfter(137)!.Value.TotalSeconds));
        Assert.Null(restarts.PauseAfter(137));
        restarts.Started();
        time.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal(0.25, restarts.PauseAfter(137)!.Value.TotalSeconds);
    }

    private static int CoordinatorBelow(int launch) => ProcessTree.Below(launch)
        .Select(process => process.Id)
        .Single(id => ProcessFacts.CommandLine(id).Contains("DistTune.Coordinator", StringComparison.Ordinal));

    private static byte[] AdapterOf(Launch launch) => File.ReadAllBytes(Path.Combine(launch.OutputFolder, "adapter", "adapter_model.safetensors"));

    private static void AssertOneTracePerStep(IReadOnlyList<OtlpSpan> spans)
    {
        var traces = spans.ToLookup(span => span.TraceId, StringComparer.Ordinal);
        var steps = spans.Where(span => span.Name == "train step").ToArray();
        Assert.Equal(Steps, steps.Length);
        Assert.Equal(Steps, steps.Select(step => step.TraceId).Distinct(StringComparer.Ordinal).Count());
        foreach (var step in steps)
        {
            var trace = traces[step.TraceId].ToArray();
            Assert.Equal(step, Assert.Single(trace, span => span.ParentId.Length == 0));
            Assert.Equal("coordinator", step.Service);
            Assert.Equal(4, trace.Count(span => span.Name == "forward_backward" && span.Service.StartsWith("worker-", StringComparison.Ordinal)));
            Assert.Equal(4, trace.Count(span => span.Name == "upload" && span.Service.StartsWith("worker-", StringComparison.Ordinal)));
            Assert.Single(trace, span => span.Name == "optimizer step");
            Assert.All(trace, span => Assert.True(span == step || trace.Any(other => other.SpanId == span.ParentId), $"{span.Name} has no parent in its trace"));

            // Rank and step are attributes, never names.
            Assert.All(trace.Where(span => span.Name == "forward_backward"), span => Assert.Equal((step.Attributes["step"], $"worker-{span.Attributes["rank"]}"), (span.Attributes["step"], span.Service)));
        }

        // These steps take milliseconds, so that the messages between processes weigh, and the machine may be busy: half of it must be
        // explained in the median step. A step of a real model takes seconds, and its spans cover nearly all of it.
        var explained = steps.Select(step => Explained(step, traces[step.TraceId])).Order().ToArray();
        TestContext.Current.TestOutputHelper?.WriteLine($"Explained by child spans: {string.Join(" ", explained.Select(share => share.ToString("P0", CultureInfo.InvariantCulture)))}");
        Assert.True(explained[Steps / 2] >= 0.5);
    }

    /// <summary>Share of a step's wall time that at least one child span covers.</summary>
    private static double Explained(OtlpSpan step, IEnumerable<OtlpSpan> trace)
    {
        double covered = 0;
        var reached = step.Start;
        foreach (var span in trace.Where(span => span != step).OrderBy(span => span.Start))
        {
            var (start, end) = (Math.Max(span.Start, reached), Math.Min(span.End, step.End));
            covered += end > start ? end - start : 0;
            reached = Math.Max(reached, end);
        }

        return covered / (step.End - step.Start);
    }

    /// <summary>The names of all metrics that coordinator and workers have shown until they ended.</summary>
    private static async Task<HashSet<string>> ScrapeUntilTheEndAsync(Launch launch)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        var ended = launch.EndsAsync();
        while (!ended.IsCompleted)
        {
            foreach (var address in Listening().Matches(launch.Output).Select(match => match.Groups[1].Value).Distinct(StringComparer.Ordinal))
            {
                try
                {
                    var text = await client.GetStringAsync($"{address}/metrics", TestContext.Current.CancellationToken);
                    names.UnionWith(Sample().Matches(text).Select(match => match.Value));
                }
                catch (HttpRequestException)
                {
                    // Speaks gRPC only, or has ended.
                }
                catch (TaskCanceledException) when (!TestContext.Current.CancellationToken.IsCancellationRequested)
                {
                    // Busy; asked again.
                }
            }

            await Task.WhenAny(ended, Task.Delay(100, TestContext.Current.CancellationToken));
        }

        return names;
    }

    [GeneratedRegex(@"Now listening on: (http://\S+)")]
    private static partial Regex Listening();

    [GeneratedRegex(@"^[a-zA-Z_:][a-zA-Z0-9_:]*", RegexOptions.Multiline)]
    private static partial Regex Sample();
}
