using DistTune.Core;
using DistTune.Core.Training;

namespace DistTune.Engine.Tests;

public sealed class InProcessTrainingTests
{
    [Fact]
    public async Task The_adapter_is_the_same_for_any_number_of_workers_and_slots()
    {
        var hashes = new HashSet<string>();
        foreach (var (workers, slots) in new[] { (1, 1), (1, 3), (2, 1), (2, 2), (3, 1), (8, 2) })
        {
            var plan = FakePlan.Create(groups: 11, steps: 5);
            var observer = new RecordingObserver();
            var computers = Enumerable.Range(0, workers).Select(_ => new FakeComputer(plan.Layout, slots)).ToArray();

            var result = await InProcessTraining.RunAsync(
                plan, FakePlan.Initial(plan), computers, observer, TimeProvider.System, TestContext.Current.CancellationToken);

            hashes.Add(result.Adapter.Sha256);
            Assert.Equal(AdapterHash.Sha256(result.Adapter.Values.Span), result.Adapter.Sha256);
            Assert.Equal(5, observer.Of<StepFinished>().Count());
            Assert.Equal(workers, observer.Of<RunStarted>().Single().Workers);
            Assert.Equal(RunState.Finished, observer.Of<RunEnded>().Single().State);
        }

        Assert.Single(hashes);
    }

    [Fact]
    public async Task A_computer_that_breaks_ends_the_run_with_its_own_exception()
    {
        var plan = FakePlan.Create();
        FakeComputer Breaking() => new(plan.Layout) { Fault = group => group.Step == 2 ? new DistTuneException(FaultKind.Failed, "out of memory") : null };

        var fault = await Assert.ThrowsAsync<DistTuneException>(() => InProcessTraining.RunAsync(
            plan, FakePlan.Initial(plan), [Breaking(), Breaking()], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken));

        Assert.Equal("out of memory", fault.Message);
    }

    [Fact]
    public async Task Cancelling_is_never_reported_as_success()
    {
        var plan = FakePlan.Create(steps: 1000);
        using var stop = new CancellationTokenSource();
        var computer = new FakeComputer(plan.Layout)
        {
            Fault = group =>
            {
                if (group.Step == 3)
                {
                    stop.Cancel();
                }

                return null;
            },
        };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => InProcessTraining.RunAsync(
            plan, FakePlan.Initial(plan), [computer], new RecordingObserver(), TimeProvider.System, stop.Token));
    }
}
