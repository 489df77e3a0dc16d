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

        var fetched = new AdapterStore(client).GetAsync("session", run, sha256, TestContext.Current.CancellationToken);
        while (coordinator.AdapterCalls < 2 && !fetched.IsCompleted)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(500), TestContext.Current.CancellationToken);
            time.Jump();
        }

        Assert.Equal(sha256, (await fetched).Sha256);
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
