using System.Globalization;
using System.Text.Json;
using DistTune.Engine;
using DistTune.Engine.Journal;

namespace DistTune.Cluster.Tests;

/// <summary>A coordinator that is killed, and whoever takes the run over, as processes over a real model.</summary>
public sealed class RestartTests
{
    [Fact]
    public async Task A_coordinator_that_is_killed_in_mid_run_goes_on_to_the_same_adapter_and_nothing_acknowledged_is_computed_again()
    {
        var expected = await SmallRun.ExpectedAdapterAfterManyStepsAsync();
        using var run = new SmallRun(steps: SmallRun.ManySteps);
        var port = LocalCluster.FreePort();
        await using var worker = ProcessTests.StartWorker(port, 0, 2);
        foreach (var line in (string[])["Step 2/", "Step 20/"])
        {
            await using var killed = ProcessTests.StartCoordinator(run, port, "--save-steps", "2");
            await killed.PrintsAsync(line);
            await killed.SignalAsync("KILL");
            await killed.ExitCodeAsync();
        }

        await using var last = ProcessTests.StartCoordinator(run, port, "--save-steps", "2");
        Assert.True(await last.ExitCodeAsync() == 0, last.Output);
        Assert.True(await worker.ExitCodeAsync() == 0, worker.Output);

        Assert.Equal(expected, run.SummarisedAdapter());
        var history = RunHistory.Read(run.OutputFolder);
        Assert.Equal(3, history.Run().Term);
        var computed = history.Entries.Select(entry => entry.Record).OfType<GroupDone>().Select(done => done.Group).ToList();
        Assert.Equal(computed.Count, computed.Distinct().Count());
        Assert.DoesNotContain(history.Entries, entry => entry.Record is GroupReopened);
        var lines = File.ReadAllLines(Path.Combine(run.OutputFolder, "metrics.jsonl")).Select(line => JsonDocument.Parse(line).RootElement).ToList();
        Assert.Equal(Enumerable.Range(1, SmallRun.ManySteps), lines.Where(line => line.GetProperty("event").GetString() == "step").Select(line => line.GetProperty("step").GetInt32()));
        Assert.Equal([0, SmallRun.ManySteps], lines.Where(line => line.GetProperty("event").GetString() == "measurement").Select(line => line.GetProperty("step").GetInt32()));
        Assert.Equal("finished", lines[^1].GetProperty("event").GetString());
        var samples = File.ReadAllLines(Path.Combine(run.OutputFolder, "samples.jsonl"));
        Assert.Equal(samples.Length, samples.Distinct().Count());
    }

    [Fact]
    public async Task A_second_coordinator_on_the_same_folder_refuses_and_disturbs_nothing()
    {
        using var run = new SmallRun();
        var port = LocalCluster.FreePort();

        // Without a worker the first can't be done with the run before the second asks for it.
        await using var first = ProcessTests.StartCoordinator(run, port);
        await first.PrintsAsync("Now listening on");

        await using var second = ProcessTests.StartCoordinator(run, LocalCluster.FreePort());

        Assert.Equal(2, await second.ExitCodeAsync());
        Assert.Contains("Another coordinator drives the run", second.Output, StringComparison.Ordinal);
        await using var worker = ProcessTests.StartWorker(port, 0, 1);
        Assert.True(await first.ExitCodeAsync() == 0, first.Output);
        Assert.Equal(0, await worker.ExitCodeAsync());
        Assert.Equal(await SmallRun.ExpectedAdapterAsync(), run.SummarisedAdapter());
    }

    [Fact]
    public async Task A_changed_learning_rate_is_refused_with_both_values()
    {
        using var run = new SmallRun(steps: 100_000);
        var port = LocalCluster.FreePort();
        await using (var worker = ProcessTests.StartWorker(port, 0, 1))
        {
            await using var stopped = ProcessTests.StartCoordinator(run, port);
            await stopped.PrintsAsync("Step 1/");
            await Task.WhenAll(stopped.SignalAsync("TERM"), worker.SignalAsync("TERM"));
            Assert.Equal(130, await stopped.ExitCodeAsync());
        }

        await using var changed = ProcessTests.StartCoordinator(run, port, "--learning-rate", "0.5");

        Assert.Equal(2, await changed.ExitCodeAsync());
        Assert.Contains(string.Create(CultureInfo.InvariantCulture, $"rate was '{0.01}' and is '{0.5}'"), changed.Output, StringComparison.Ordinal);
    }
}
