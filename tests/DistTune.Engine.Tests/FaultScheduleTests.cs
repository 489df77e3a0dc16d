using System.Collections.Concurrent;
using DistTune.Simulation;

namespace DistTune.Engine.Tests;

public sealed class FaultScheduleTests
{
    private const int Schedules = 10_000;
    private const int SchedulesForABug = 100;

    [Fact]
    public void Ten_thousand_schedules_of_crashes_power_cuts_and_disk_faults_come_to_the_adapter_of_the_faultless_run()
    {
        var failures = Failures(Schedules, PlantedBug.None);

        Assert.True(failures.IsEmpty, string.Join(Environment.NewLine, failures.Order(StringComparer.Ordinal).Take(10)));
    }

    [Theory]
    [InlineData(nameof(PlantedBug.JournalNotFlushed))]
    [InlineData(nameof(PlantedBug.RedoNotFlushed))]
    [InlineData(nameof(PlantedBug.SpoolNotFlushed))]
    [InlineData(nameof(PlantedBug.NamesNotFlushed))]
    [InlineData(nameof(PlantedBug.EarlyAcknowledgement))]
    [InlineData(nameof(PlantedBug.UnfencedTerm))]
    public void A_bug_that_is_planted_is_found_and_the_seed_shows_it_again(string bug)
    {
        var planted = Enum.Parse<PlantedBug>(bug);
        var failures = Failures(SchedulesForABug, planted);

        Assert.NotEmpty(failures);
        var seed = int.Parse(failures.First().Split(' ', ':')[1], System.Globalization.CultureInfo.InvariantCulture);
        var first = Assert.Throws<PropertyViolatedException>(() => FaultSchedule.Run(seed, planted));
        var again = Assert.Throws<PropertyViolatedException>(() => FaultSchedule.Run(seed, planted));
        Assert.Equal(first.Message, again.Message);
        Assert.Contains("--seed", first.Message, StringComparison.Ordinal);
    }

    private static ConcurrentBag<string> Failures(int schedules, PlantedBug bug)
    {
        var failures = new ConcurrentBag<string>();
        Parallel.For(0, schedules, new ParallelOptions { CancellationToken = TestContext.Current.CancellationToken }, seed =>
        {
            try
            {
                FaultSchedule.Run(seed, bug);
            }
            catch (PropertyViolatedException fault)
            {
                failures.Add(fault.Message);
            }
        });
        return failures;
    }
}
