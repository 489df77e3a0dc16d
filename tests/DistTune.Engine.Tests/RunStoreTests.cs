using DistTune.Core;
using DistTune.Core.Training;
using DistTune.Engine.Storage;
using Microsoft.Extensions.Time.Testing;

namespace DistTune.Engine.Tests;

public sealed class RunStoreTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-store-").FullName;
    private readonly FakeTimeProvider _time = new();
    private RunStoreOptions _options = new() { SaveSteps = 3, SaveTotalLimit = 2 };

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(23)]
    [InlineData(40)]
    public void A_run_that_stops_anywhere_goes_on_to_the_same_adapter_and_computes_nothing_twice(int results)
    {
        var plan = Plan();
        var expected = Finish(plan, Path.Combine(_folder, "whole"), int.MaxValue, out _);
        var first = Finish(plan, Path.Combine(_folder, "parts"), results, out var before);
        Assert.False(first.Ended);

        var second = Finish(plan, Path.Combine(_folder, "parts"), int.MaxValue, out var after);

        Assert.Equal(expected.AdapterSha256, second.AdapterSha256);
        Assert.Equal(expected.Steps, second.Steps);
        Assert.Equal(RunState.Finished, second.State);
        Assert.Equal(2, second.Term);
        Assert.Equal(before.Concat(after).Count(), before.Concat(after).Distinct().Count());
        Assert.Equal(expected.Measurements.Select(m => m.Loss), second.Measurements.Select(m => m.Loss));
    }

    [Theory]
    [InlineData(7)]
    [InlineData(40)]
    public void Moments_in_eight_bits_go_on_bit_for_bit(int results)
    {
        var plan = Plan();
        plan = plan with
        {
            Optimizer = plan.Optimizer with { EightBit = true },
            // The second is held in eight bits and fills neither its last block nor its last float of codes.
            Layout = ParameterLayout.Create([new("small", [30], 0, 0), new("large", [4099], 0, 1)]),
        };
        var expected = Finish(plan, Path.Combine(_folder, "whole"), int.MaxValue, out _);
        Assert.False(Finish(plan, Path.Combine(_folder, "parts"), results, out _).Ended);

        var second = Finish(plan, Path.Combine(_folder, "parts"), int.MaxValue, out _);

        Assert.Equal(expected.AdapterSha256, second.AdapterSha256);
        Assert.Equal(expected.Steps, second.Steps);
        Assert.NotEqual(expected.AdapterSha256, Finish(plan with { Optimizer = plan.Optimizer with { EightBit = false } }, Path.Combine(_folder, "full"), int.MaxValue, out _).AdapterSha256);
    }

    [Fact]
    public void Snapshots_are_kept_up_to_the_limit_and_redo_and_spool_stay_bounded()
    {
        Finish(Plan(steps: 20), _folder, int.MaxValue, out _);

        Assert.Equal(["step-000015", "step-000018"], Names("snapshots"));
        Assert.Equal(["from-000015", "from-000018"], Names("redo"));
        Assert.Equal(["term-000001"], Names("spool"));
        Assert.Equal(["MANIFEST.json", "adapter", "optimizer", "state"], Names("snapshots/step-000018"));
    }

    [Fact]
    public void A_damaged_snapshot_is_passed_over_for_the_one_before()
    {
        var plan = Plan(steps: 12);
        var expected = Finish(plan, Path.Combine(_folder, "whole"), int.MaxValue, out _);
        var folder = Path.Combine(_folder, "parts");
        Finish(plan, folder, 50, out _);
        Damage(Path.Combine(folder, "snapshots", Names("parts/snapshots")[^1], "optimizer"), 40);

        using var store = RunStore.Open(new FolderStorage(folder), plan, FakePlan.Initial(plan), _options, _time);

        Assert.Contains("is not whole: 'optimizer' has SHA-256", Assert.Single(store.Notices), StringComparison.Ordinal);
        store.Dispose();
        Assert.Equal(expected.AdapterSha256, Finish(plan, folder, int.MaxValue, out _).AdapterSha256);
    }

    [Fact]
    public void Where_nothing_leads_to_the_last_step_the_refusal_says_why()
    {
        var plan = Plan(steps: 12);
        Finish(plan, _folder, 50, out _);
        foreach (var name in Names("snapshots"))
        {
            Damage(Path.Combine(_folder, "snapshots", name, "adapter"), 40);
        }

        var fault = Assert.Throws<DistTuneException>(() => RunStore.Open(new FolderStorage(_folder), plan, FakePlan.Initial(plan), _options, _time));

        Assert.Contains("nothing on disk leads there", fault.Message, StringComparison.Ordinal);
        Assert.Contains("of step 0 is not in the 'redo' folder", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_spooled_gradient_that_was_damaged_is_computed_again()
    {
        var plan = Plan();
        var expected = Finish(plan, Path.Combine(_folder, "whole"), int.MaxValue, out _);
        var folder = Path.Combine(_folder, "parts");
        Finish(plan, folder, 8, out _);
        Damage(Path.Combine(folder, "spool", "term-000001"), 40);

        var run = Finish(plan, folder, int.MaxValue, out _);

        Assert.Equal(expected.AdapterSha256, run.AdapterSha256);
    }

    [Fact]
    public void A_second_coordinator_is_refused_while_the_first_is_there()
    {
        var plan = Plan();
        using (RunStore.Open(new FolderStorage(_folder), plan, FakePlan.Initial(plan), _options, _time))
        {
            var fault = Assert.Throws<DistTuneException>(() => RunStore.Open(new FolderStorage(_folder), plan, FakePlan.Initial(plan), _options, _time));

            Assert.Equal(FaultKind.Configuration, fault.Kind);
            Assert.Contains("Another coordinator drives the run", fault.Message, StringComparison.Ordinal);
        }

        RunStore.Open(new FolderStorage(_folder), plan, FakePlan.Initial(plan), _options, _time).Dispose();
    }

    [Fact]
    public void Another_run_in_the_folder_is_refused_with_what_differs()
    {
        var plan = Plan() with { Settings = [new("rate", "0.1"), new("rank", "8")] };
        Finish(plan, _folder, 5, out _);
        var other = plan with { Hashes = plan.Hashes with { Data = "else", Configuration = "else" }, Settings = [new("rate", "0.2"), new("rank", "8")] };

        var fault = Assert.Throws<DistTuneException>(() => RunStore.Open(new FolderStorage(_folder), other, FakePlan.Initial(other), _options, _time));

        Assert.Contains("the data (rows, or how they are cut into tokens) (SHA-256 was data and is else); rate was '0.1' and is '0.2'", fault.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("rank", fault.Message, StringComparison.Ordinal);
        _options = _options with { Anew = true };
        Assert.Equal(RunState.Finished, Finish(other, _folder, int.MaxValue, out _).State);
    }

    [Fact]
    public void A_run_goes_on_from_a_named_snapshot_in_a_folder_of_its_own()
    {
        var plan = Plan(steps: 12);
        var expected = Finish(plan, Path.Combine(_folder, "whole"), int.MaxValue, out _);
        _options = _options with { SnapshotPath = Path.Combine(_folder, "whole", "snapshots", "step-000009") };

        var run = Finish(plan, Path.Combine(_folder, "other"), int.MaxValue, out var computed);

        Assert.Equal(expected.AdapterSha256, run.AdapterSha256);
        Assert.Equal(expected.Steps, run.Steps);
        Assert.All(computed, group => Assert.True(group.Step >= 9));
    }

    [Fact]
    public void A_journal_that_was_lost_is_made_up_for_by_the_newest_snapshot()
    {
        var plan = Plan(steps: 12);
        var expected = Finish(plan, Path.Combine(_folder, "whole"), int.MaxValue, out _);
        var folder = Path.Combine(_folder, "parts");
        Finish(plan, folder, 60, out _);
        File.Delete(Path.Combine(folder, "journal.log"));

        var run = Finish(plan, folder, int.MaxValue, out var computed);

        Assert.Equal(expected.AdapterSha256, run.AdapterSha256);
        Assert.All(computed, group => Assert.True(group.Step >= 3));
    }

    private static RunPlan Plan(int steps = 8) => FakePlan.Create(groups: 5, steps: steps, evaluationInterval: 4);

    private TrainingRun Finish(RunPlan plan, string folder, int results, out List<GroupKey> computed)
    {
        computed = [];
        using var store = RunStore.Open(new FolderStorage(folder), plan, FakePlan.Initial(plan), _options, _time);
        using var registry = new RunRegistry(new EngineOptions(), _time);
        var run = registry.Add(store, new RecordingObserver());
        var worker = registry.Register("w", 0, 1, FakePlan.Fingerprint());
        run.Advance();
        while (!run.Run.Ended && computed.Count < results)
        {
            var grant = Assert.Single(registry.TryPull(worker, 1).Grants);
            var reference = GrantReference.To(grant);
            using var upload = grant.Group.Kind == GroupKind.Train ? registry.BeginUpload(worker, reference).Upload : null;
            var outcome = FakeComputer.Compute(grant.Group, run.Adapter, plan.Layout, (offset, part) => upload!.Write(offset, part));
            Assert.Equal(SubmitStatus.Accepted, registry.Submit(worker, reference, outcome, upload, null).Status);
            computed.Add(grant.Key);
            run.Advance();
        }

        return run.Run;
    }

    private string[] Names(string folder) =>
        [.. Directory.EnumerateFileSystemEntries(Path.Combine(_folder, folder)).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

    private static void Damage(string path, int offset)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite);
        file.Position = offset;
        var value = file.ReadByte();
        file.Position = offset;
        file.WriteByte((byte)(value ^ 1));
    }
}
