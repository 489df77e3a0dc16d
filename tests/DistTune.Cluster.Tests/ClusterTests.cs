using DistTune.Core.Training;
using DistTune.Engine;
using DistTune.Engine.Tests;

namespace DistTune.Cluster.Tests;

public sealed class ClusterTests
{
    private static readonly EngineOptions Options = new() { LeaseDuration = TimeSpan.FromSeconds(30) };

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 3)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    public async Task The_adapter_is_that_of_a_run_without_a_wire(int workers, int threads)
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options with { WorkersToStart = workers }, FakePlan.Create(groups: 7, steps: 4, evaluationInterval: 2));
        var apps = await Task.WhenAll(Enumerable.Range(0, workers).Select(rank => cluster.StartWorkerAsync(rank, threads)));

        await cluster.CoordinatorEndsAsync();
        await Task.WhenAll(apps.Select(LocalCluster.EndsAsync));

        Assert.Equal(0, cluster.CoordinatorExitCode);
        Assert.All(apps, app => Assert.Equal(0, LocalCluster.ExitCodeOf(app)));
        var expected = await WithoutWireAsync(7, 4, 2);
        Assert.Equal(expected.Adapter.Sha256, cluster.Outputs[0].Result!.Adapter.Sha256);
        Assert.Equal(expected.Steps, cluster.Outputs[0].Result!.Steps);
        Assert.Equal(expected.Measurements.Select(m => m.Loss), cluster.Outputs[0].Result!.Measurements.Select(m => m.Loss));
        Assert.Equal(
            expected.Measurements.SelectMany(m => m.Continuations.SelectMany(tokens => tokens)),
            cluster.Outputs[0].Result!.Measurements.SelectMany(m => m.Continuations.SelectMany(tokens => tokens)));
        Assert.Equal(workers, cluster.Observer.Of<WorkerJoined>().Count());
        Assert.True(cluster.Outputs[0].PeakMemoryBytes > 0);
    }

    [Fact]
    public async Task A_worker_that_is_lost_in_mid_step_costs_nothing_but_time()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(groups: 5, steps: 3));
        var reached = new TaskCompletionSource();
        await using var network = new TcpRelay(cluster.GrpcPort);
        await cluster.StartWorkerAsync(0, 2, port: network.Port, computers: new FakeComputerSource(2)
        {
            Before = async (group, cancellationToken) =>
            {
                if (group is { Kind: GroupKind.Train, Step: 1 })
                {
                    reached.TrySetResult();
                    await Task.Delay(Timeout.Infinite, cancellationToken);
                }
            },
        });
        await reached.Task.WaitAsync(TimeSpan.FromSeconds(120));
        var survivor = await cluster.StartWorkerAsync(1);

        await network.CutAsync();

        await cluster.CoordinatorEndsAsync();
        await LocalCluster.EndsAsync(survivor);
        Assert.Equal((await WithoutWireAsync(5, 3)).Adapter.Sha256, cluster.Outputs[0].Result!.Adapter.Sha256);
        Assert.Contains(cluster.Observer.Of<WorkerLeft>(), left => left.GroupsRequeued > 0);
    }

    [Fact]
    public async Task A_worker_that_is_told_to_stop_finishes_what_it_holds_and_the_run_goes_on()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(groups: 5, steps: 3));
        var reached = new TaskCompletionSource();
        var goOn = new TaskCompletionSource();
        var stopped = await cluster.StartWorkerAsync(0, computers: new FakeComputerSource(1)
        {
            Before = async (group, _) =>
            {
                if (group is { Kind: GroupKind.Train, Step: 1 })
                {
                    reached.TrySetResult();
                    await goOn.Task;
                }
            },
        });
        await reached.Task.WaitAsync(TimeSpan.FromSeconds(120));

        var stopping = stopped.StopAsync();
        goOn.SetResult();
        await stopping;
        Assert.Equal(0, LocalCluster.ExitCodeOf(stopped));
        Assert.Equal(0, Assert.Single(cluster.Observer.Of<WorkerLeft>()).GroupsRequeued);

        await cluster.StartWorkerAsync(1);
        await cluster.CoordinatorEndsAsync();
        Assert.Equal((await WithoutWireAsync(5, 3)).Adapter.Sha256, cluster.Outputs[0].Result!.Adapter.Sha256);
    }

    [Fact]
    public async Task A_worker_waits_for_its_coordinator()
    {
        await using var cluster = new LocalCluster();
        var worker = await cluster.StartWorkerAsync();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(groups: 3, steps: 2));

        await cluster.CoordinatorEndsAsync();
        await LocalCluster.EndsAsync(worker);

        Assert.Equal(0, LocalCluster.ExitCodeOf(worker));
    }

    [Fact]
    public async Task A_worker_that_still_loads_its_base_when_the_run_ends_is_sent_home()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(groups: 3, steps: 2));
        var loading = new TaskCompletionSource();
        var loaded = new TaskCompletionSource();
        var late = await cluster.StartWorkerAsync(1, computers: new FakeComputerSource(1)
        {
            Loading = () =>
            {
                loading.SetResult();
                return loaded.Task;
            },
        });
        await loading.Task.WaitAsync(TimeSpan.FromSeconds(120));
        var worker = await cluster.StartWorkerAsync(0);
        await LocalCluster.EndsAsync(worker);

        loaded.SetResult();
        await LocalCluster.EndsAsync(late);
        await cluster.CoordinatorEndsAsync();

        Assert.Equal(0, LocalCluster.ExitCodeOf(late));
        Assert.Equal(0, cluster.CoordinatorExitCode);
    }

    [Fact]
    public async Task Two_runs_on_one_coordinator_share_the_workers()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(3, 2, "one"), FakePlan.Create(3, 2, "two"));
        var workers = await Task.WhenAll(cluster.StartWorkerAsync(0, 2), cluster.StartWorkerAsync(1));

        await cluster.CoordinatorEndsAsync();
        await Task.WhenAll(workers.Select(LocalCluster.EndsAsync));

        var expected = (await WithoutWireAsync(3, 2)).Adapter.Sha256;
        Assert.Equal([expected, expected], cluster.Outputs.Select(outputs => outputs.Result!.Adapter.Sha256));
    }

    [Fact]
    public async Task A_worker_of_another_kind_is_sent_away_with_the_reason()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options with { WorkersToStart = 2 }, FakePlan.Create());
        await cluster.StartWorkerAsync(0);
        while (cluster.Registry.Workers.Count == 0)
        {
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }

        var other = await cluster.StartWorkerAsync(1, computers: new FakeComputerSource(1) { Library = "fake 2" });
        await LocalCluster.EndsAsync(other);

        Assert.Equal(2, LocalCluster.ExitCodeOf(other));
        Assert.Single(cluster.Registry.Workers);
    }

    [Fact]
    public async Task A_worker_that_would_not_reproduce_is_sent_away_before_it_computes_a_group_and_the_run_goes_on()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options with { WorkersToStart = 2 }, FakePlan.Create(groups: 3, steps: 2));
        await cluster.StartWorkerAsync(0);
        while (cluster.Registry.Workers.Count == 0)
        {
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }

        var before = cluster.Registry.Runs[0].Run;
        var odd = await cluster.StartWorkerAsync(1, computers: new FakeComputerSource(1) { IsOdd = true });
        await LocalCluster.EndsAsync(odd);

        Assert.Equal(2, LocalCluster.ExitCodeOf(odd));
        Assert.Single(cluster.Registry.Workers);
        Assert.Same(before, cluster.Registry.Runs[0].Run);
        await cluster.StartWorkerAsync(2);
        await cluster.CoordinatorEndsAsync();
        Assert.Equal((await WithoutWireAsync(3, 2)).Adapter.Sha256, cluster.Outputs[0].Result!.Adapter.Sha256);
        Assert.DoesNotContain(cluster.Observer.Of<WorkerJoined>(), joined => joined.Worker == "worker-1");
    }

    [Fact]
    public async Task A_worker_with_a_wrong_token_ends_with_1_and_never_joins()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create());
        var worker = await cluster.StartWorkerAsync(token: "a-guess");

        await LocalCluster.EndsAsync(worker);

        Assert.Equal(1, LocalCluster.ExitCodeOf(worker));
        Assert.Empty(cluster.Registry.Workers);
    }

    [Fact]
    public async Task A_run_that_fails_sends_the_workers_home_and_exits_with_1()
    {
        await using var cluster = new LocalCluster();
        await cluster.StartCoordinatorAsync(Options, FakePlan.Create(source: new FakePlan(2) { IsTrained = (step, _) => step == 0 }));
        var worker = await cluster.StartWorkerAsync();

        await cluster.CoordinatorEndsAsync();
        await LocalCluster.EndsAsync(worker);

        Assert.Equal(1, cluster.CoordinatorExitCode);
        Assert.Equal(0, LocalCluster.ExitCodeOf(worker));
        Assert.Null(cluster.Outputs[0].Result);
    }

    private static Task<RunResult> WithoutWireAsync(int groups, int steps, int? evaluationInterval = null)
    {
        var plan = FakePlan.Create(groups, steps, evaluationInterval: evaluationInterval);
        return InProcessTraining.RunAsync(
            plan, FakePlan.Initial(plan), [new FakeComputer(plan.Layout)], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken);
    }
}
