using System.Collections.Concurrent;
using System.Diagnostics;
using DistTune.Engine;
using DistTune.Engine.Tests;

namespace DistTune.Cluster.Tests;

public sealed class TraceTests
{
    [Fact]
    public async Task One_trace_a_step_spans_coordinator_and_workers()
    {
        var ended = new ConcurrentQueue<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name.StartsWith("DistTune.", StringComparison.Ordinal),
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = ended.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(new EngineOptions { WorkersToStart = 2 }, FakePlan.Create(groups: 4, steps: 3, runId: "traced"));
        await cluster.StartWorkerAsync(0);
        await cluster.StartWorkerAsync(1);

        await cluster.CoordinatorEndsAsync();

        // Other tests run beside this one; the run's id tells its spans apart.
        var steps = ended.Where(span => span.OperationName == "train step" && Equals(span.GetTagItem("run"), "traced")).ToList();
        Assert.Equal([0, 1, 2], steps.Select(span => (int)span.GetTagItem("step")!).Order());
        Assert.Equal(3, steps.Select(span => span.TraceId).Distinct().Count());
        foreach (var step in steps)
        {
            Assert.Equal(default, step.ParentSpanId);
            var children = ended.Where(span => span.TraceId == step.TraceId && span != step).ToList();
            Assert.All(children, child => Assert.Equal(step.SpanId, child.ParentSpanId));
            Assert.Equal(4, children.Count(child => child.OperationName == "forward_backward"));
            Assert.Equal(4, children.Count(child => child.OperationName == "upload"));
            Assert.Single(children, child => child.OperationName == "reduce");
            Assert.Single(children, child => child.OperationName == "optimizer step");
        }
    }
}
