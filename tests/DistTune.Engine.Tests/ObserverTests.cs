using System.Diagnostics.Metrics;
using System.Text.Json;

namespace DistTune.Engine.Tests;

public sealed class ObserverTests
{
    [Fact]
    public async Task Metrics_and_lines_tell_the_run_as_it_was()
    {
        var plan = FakePlan.Create(groups: 3, steps: 4, evaluationInterval: 2);
        var values = new Dictionary<string, double>(StringComparer.Ordinal);
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name == EngineTelemetry.MeterName)
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Take(instrument, value, tags));
        listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Take(instrument, value, tags));
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Take(instrument, value, tags));
        listener.Start();
        using var metrics = new TrainingMetrics(1, TimeProvider.System);
        using var text = new StringWriter();

        var result = await InProcessTraining.RunAsync(
            plan,
            FakePlan.Initial(plan),
            [new FakeComputer(plan.Layout)],
            new CompositeRunObserver(metrics, new MetricsJournal(text)),
            TimeProvider.System,
            TestContext.Current.CancellationToken);

        Assert.Equal(result.Steps[^1].Loss, values["disttune.training.loss"]);
        Assert.Equal(result.Measurements[^1].Loss, values["disttune.eval.loss"]);
        Assert.Equal(4, values["disttune.training.global_step"]);
        Assert.Equal(1, values["disttune.worker.count"]);
        var lines = text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement).ToList();
        Assert.Equal(
            ["measurement", "step", "step", "measurement", "step", "step", "measurement", "finished"],
            lines.Select(line => line.GetProperty("event").GetString()!));
        Assert.Equal(result.Steps.Select(step => step.Loss), lines.Where(line => line.TryGetProperty("loss", out _)).Select(line => line.GetProperty("loss").GetDouble()));
        Assert.Equal(result.Adapter.Sha256, lines[^1].GetProperty("adapter_sha256").GetString());

        void Take(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            foreach (var tag in tags)
            {
                if (tag is { Key: "run", Value: "run" })
                {
                    lock (values)
                    {
                        values[instrument.Name] = value;
                    }
                }
            }
        }
    }
}
