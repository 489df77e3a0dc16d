using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Engine.Journal;
using DistTune.Engine.Storage;
using Microsoft.Extensions.Time.Testing;

namespace DistTune.Engine.Tests;

public sealed class CanaryTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-canary-").FullName;
    private readonly FakeTimeProvider _time = new();
    private readonly RunPlan _plan = FakePlan.Create(groups: 3, steps: 3);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task The_canary_is_a_function_of_the_computer_alone_and_shows_a_single_bit()
    {
        var (first, second, odd) = (await CanaryOfAsync(new(_plan.Layout)), await CanaryOfAsync(new(_plan.Layout, slots: 3)), await CanaryOfAsync(new(_plan.Layout) { IsOdd = true }));

        Assert.Equal(first, second);
        Assert.NotEqual(first, odd);
    }

    [Fact]
    public async Task The_canary_is_a_group_that_no_run_has_over_tokens_that_the_base_has()
    {
        var groups = new List<GroupSpec>();
        await CanaryOfAsync(new(_plan.Layout)
        {
            Fault = group =>
            {
                groups.Add(group);
                return null;
            },
        });

        var group = Assert.Single(groups);
        Assert.True(group.Step > _plan.Steps);
        Assert.Equal(GroupKind.Train, group.Kind);
        var segments = group.MicroBatches.SelectMany(batch => batch.Segments).ToList();
        Assert.All(segments.SelectMany(segment => segment.TokenIds), token => Assert.InRange(token, 0, _plan.VocabularySize - 1));
        Assert.All(segments, segment => Assert.Equal(segment.TokenIds.Length - 1, segment.TrainedTokens));
    }

    [Fact]
    public void The_first_worker_sets_the_canary_and_one_that_comes_to_another_leaves_no_trace()
    {
        var journal = new InMemoryRunJournal();
        using var registry = new RunRegistry(new EngineOptions { WorkersToStart = 2 }, _time);
        var run = registry.Add(_plan, FakePlan.Initial(_plan), journal, new RecordingObserver());
        registry.Register("first", 0, 1, FakePlan.Fingerprint(canary: "aaaaaaaaaaaaaaaa"));
        var before = run.Run;

        var other = Assert.Throws<DistTuneException>(() => registry.Register("other", 1, 1, FakePlan.Fingerprint(canary: "bbbbbbbbbbbbbbbb")));
        var none = Assert.Throws<DistTuneException>(() => registry.Register("none", 1, 1, WorkerFingerprint.Of("fake", FakePlan.BaseSha256)));

        Assert.Equal((FaultKind.Configuration, FaultKind.Configuration), (other.Kind, none.Kind));
        Assert.Contains("its canary of run run is bbbbbbbbbbbb, that of worker first, which the run began with, is aaaaaaaaaaaa", other.Message, StringComparison.Ordinal);
        Assert.Contains("instruction set and library are the same", other.Message, StringComparison.Ordinal);
        Assert.Contains("has no canary of run run", none.Message, StringComparison.Ordinal);
        Assert.Same(before, run.Run);
        Assert.Single(registry.Workers);
        Assert.Equal("first", Assert.Single(journal.Records.OfType<CanarySet>()).Worker);
        registry.Register("second", 1, 1, FakePlan.Fingerprint(canary: "aaaaaaaaaaaaaaaa"));
        Assert.Single(journal.Records.OfType<CanarySet>());
    }

    [Fact]
    public void After_a_restart_the_canary_is_the_same_and_another_machine_is_told_how_it_differs()
    {
        using (var store = Open())
        using (var registry = new RunRegistry(new EngineOptions(), _time))
        {
            registry.Add(store, new RecordingObserver());
            registry.Register("first", 0, 1, FakePlan.Fingerprint(canary: "a") with { InstructionSet = "x64-avx512" });
        }

        using var again = Open();
        using var restarted = new RunRegistry(new EngineOptions(), _time);
        var run = restarted.Add(again, new RecordingObserver());
        var fault = Assert.Throws<DistTuneException>(() => restarted.Register("other", 0, 1, FakePlan.Fingerprint(canary: "b") with { InstructionSet = "arm64-baseline" }));

        Assert.Contains("instruction set is 'arm64-baseline', the run has 'x64-avx512'", fault.Message, StringComparison.Ordinal);
        Assert.Contains("snapshot in another output_dir", fault.Message, StringComparison.Ordinal);
        Assert.Equal("a", run.Run.Canary!.Digest);
        Assert.Contains(RunNarrative.Tell(RunHistory.Read(_folder), groups: false), line => line.Contains("Worker first joined first", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_run_in_one_process_does_not_go_on_with_a_computer_that_comes_to_other_bits()
    {
        using (var store = Open())
        {
            var stopping = new FakeComputer(_plan.Layout) { Fault = group => group.Step == 1 ? new OperationCanceledException("stopped") : null };
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => RunAsync(store, stopping));
        }

        DistTuneException fault;
        using (var store = Open())
        {
            fault = await Assert.ThrowsAsync<DistTuneException>(() => RunAsync(store, new FakeComputer(_plan.Layout) { IsOdd = true }));
        }

        Assert.Equal(FaultKind.Configuration, fault.Kind);
        Assert.Contains("would not be the same bits", fault.Message, StringComparison.Ordinal);
        using var last = Open();
        Assert.Equal(RunState.Finished, (await FinishAsync(last)).State);
    }

    [Fact]
    public void Whether_bfloat16_is_multiplied_matters_where_the_base_is_held_in_it()
    {
        var with = WorkerFingerprint.Of("fake", "base") with { InstructionSet = "x64-avx512-bf16" };
        var without = with with { InstructionSet = "x64-avx512" };

        Assert.Null(without.DifferenceFrom(with, bfloat16: false));
        Assert.Contains("x64-avx512-bf16", without.DifferenceFrom(with, bfloat16: true), StringComparison.Ordinal);
        Assert.NotNull(without.DifferenceFrom(with with { InstructionSet = "x64-avx2-bf16" }, bfloat16: false));
        Assert.Equal(Processor.MultipliesBFloat16, WorkerFingerprint.ThisInstructionSet.EndsWith("-bf16", StringComparison.Ordinal));
    }

    private Task<string> CanaryOfAsync(FakeComputer computer) =>
        Canary.ComputeAsync(computer, _plan.RunId, _plan.VocabularySize, Canary.Adapter(new float[_plan.Layout.Length]), new float[_plan.Layout.Length], TestContext.Current.CancellationToken);

    private RunStore Open() => RunStore.Open(new FolderStorage(_folder), _plan, FakePlan.Initial(_plan), new RunStoreOptions(), _time);

    private static Task<RunResult> RunAsync(RunStore store, FakeComputer computer) =>
        InProcessTraining.RunAsync(store, [computer], new RecordingObserver(), TimeProvider.System, TestContext.Current.CancellationToken);

    private async Task<TrainingRun> FinishAsync(RunStore store)
    {
        await RunAsync(store, new FakeComputer(_plan.Layout));
        return RunHistory.Read(_folder).Run();
    }
}
