using DistTune.Core.Training;
using DistTune.Engine.Tests;
using DistTune.Protocol;
using DistTune.Worker;

namespace DistTune.Cluster.Tests;

/// <summary>Workers of a coordinator that ends or hangs without a word.</summary>
public sealed class OddCoordinatorTests
{
    [Fact]
    public async Task A_worker_that_was_sent_home_leaves_though_nobody_answers_its_goodbye()
    {
        await using var coordinator = await OddCoordinator.StartAsync();
        await using var cluster = new LocalCluster();

        var worker = await cluster.StartWorkerAsync(port: coordinator.Port);
        await LocalCluster.EndsAsync(worker);

        Assert.Equal(WorkerExit.Done, LocalCluster.ExitCodeOf(worker));
        Assert.Equal(1, coordinator.Registrations);
    }

    [Fact]
    public async Task An_adapter_that_stops_coming_is_asked_for_again_from_where_it_stopped()
    {
        await using var coordinator = await OddCoordinator.StartAsync();
        var time = new JumpingTime();
        using var client = new CoordinatorClient(LocalCluster.OptionsOf(coordinator.Port, 0, 1), time);
        var run = TrainingMapping.ToFacts(FakePlan.Create());
        run.LayoutLength = coordinator.Adapter.Length;
        var sha256 = AdapterHash.Version(coordinator.Adapter).Sha256;

        var fetched = new AdapterStore(client).RentAsync("session", run, sha256, TestContext.Current.CancellationToken);
        while (coordinator.AdapterCalls < 2 && !fetched.IsCompleted)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(500), TestContext.Current.CancellationToken);
            time.Jump();
        }

        Assert.Equal(sha256, (await fetched).Version.Sha256);
    }

    [Fact]
    public async Task A_version_takes_the_place_of_the_one_before_only_when_nobody_reads_that()
    {
        await using var coordinator = await OddCoordinator.StartAsync();
        coordinator.FallsSilent = false;
        using var client = new CoordinatorClient(LocalCluster.OptionsOf(coordinator.Port, 0, 1), TimeProvider.System);
        var run = TrainingMapping.ToFacts(FakePlan.Create());
        run.LayoutLength = coordinator.Adapter.Length;
        var store = new AdapterStore(client);

        var first = await NextAsync(0);
        var second = await NextAsync(1);
        Assert.False(first.Version.Values.Equals(second.Version.Values));
        Assert.Equal(first.Version, AdapterHash.Version(first.Version.Values));

        second.Dispose();
        var third = await NextAsync(2);
        Assert.Equal(second.Version.Values, third.Version.Values);

        // Given back twice by one lane, it is still read by the other.
        var twice = await RentAsync();
        twice.Dispose();
        twice.Dispose();
        var fourth = await NextAsync(3);
        Assert.False(third.Version.Values.Equals(fourth.Version.Values));
        Assert.Equal(third.Version, AdapterHash.Version(third.Version.Values));

        Task<RentedAdapter> RentAsync() => store.RentAsync("session", run, AdapterHash.Sha256(coordinator.Adapter), TestContext.Current.CancellationToken);

        Task<RentedAdapter> NextAsync(float value)
        {
            coordinator.Adapter[0] = value;
            return RentAsync();
        }
    }

    // Its timers fire when the test says so.
    private sealed class JumpingTime : TimeProvider
    {
        private readonly Lock _gate = new();
        private readonly List<Timer> _timers = [];

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = new Timer(() => callback(state));
            lock (_gate)
            {
                _timers.Add(timer);
            }

            return timer;
        }

        public void Jump()
        {
            List<Timer> due;
            lock (_gate)
            {
                due = [.. _timers];
                _timers.Clear();
            }

            due.ForEach(timer => timer.Fire());
        }

        private sealed class Timer(Action callback) : ITimer
        {
            private volatile bool _over;

            public void Fire()
            {
                if (!_over)
                {
                    callback();
                }
            }

            public bool Change(TimeSpan dueTime, TimeSpan period) => !_over;

            public void Dispose() => _over = true;

            public ValueTask DisposeAsync()
            {
                Dispose();
                return ValueTask.CompletedTask;
            }
        }
    }
}
