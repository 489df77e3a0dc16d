namespace DistTune.Engine.Tests;

public sealed class SimulationTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public void The_adapter_is_the_same_for_any_workers_deaths_delays_and_duplicates(int workers)
    {
        var expected = Undisturbed();
        for (var seed = 0; seed < 25; seed++)
        {
            using var simulation = new Simulation(seed, FakePlan.Create(groups: 7, steps: 6, evaluationInterval: 2));
            simulation.Run(workers, faults: 0.3);

            var run = simulation.Runs[0].Run;
            Assert.True(run.State == RunState.Finished, $"Seed {seed}: {run.Failure}");
            Assert.True(expected.AdapterSha256 == run.AdapterSha256, $"Seed {seed}: {run.AdapterSha256}, expected {expected.AdapterSha256}");
            Assert.Equal(expected.Steps, run.Steps);
            Assert.Equal(expected.Measurements.Select(m => (m.Step, m.Loss)), run.Measurements.Select(m => (m.Step, m.Loss)));
        }
    }

    [Fact]
    public void The_records_alone_give_the_state()
    {
        using var simulation = new Simulation(11, FakePlan.Create());
        simulation.Run(workers: 2, faults: 0.2);

        var replayed = simulation.Journal.Records.Aggregate(TrainingRun.Empty, (run, record) => run.Apply(record));

        var run = simulation.Runs[0].Run;
        Assert.Equal(run.State, replayed.State);
        Assert.Equal(run.AdapterSha256, replayed.AdapterSha256);
        Assert.Equal(run.Steps, replayed.Steps);
        Assert.Equal(run.TrainedTokens, replayed.TrainedTokens);
    }

    [Fact]
    public void Two_runs_share_the_workers_and_each_ends_as_it_would_alone()
    {
        var expected = Undisturbed().AdapterSha256;
        for (var seed = 0; seed < 20; seed++)
        {
            using var simulation = new Simulation(seed, FakePlan.Create(7, 6, "one", 2), FakePlan.Create(7, 6, "two", 2));
            simulation.Run(workers: 3, faults: 0.2);

            Assert.Equal([expected, expected], simulation.Runs.Select(run => run.Run.AdapterSha256));
        }
    }

    [Fact]
    public void Loss_goes_down_and_measurements_frame_the_training()
    {
        var run = Undisturbed();

        Assert.Equal([0, 2, 4, 6], run.Measurements.Select(measurement => measurement.Step));
        Assert.True(run.Measurements[^1].Loss < run.Measurements[0].Loss);
        Assert.Equal(2, run.Measurements[0].Continuations.Length);
        Assert.Equal(6, run.Steps.Count);
    }

    private static TrainingRun Undisturbed()
    {
        using var simulation = new Simulation(0, FakePlan.Create(groups: 7, steps: 6, evaluationInterval: 2));
        simulation.Run(workers: 1, faults: 0);
        return simulation.Runs[0].Run;
    }
}
