using DistTune.Core.Training;
using DistTune.Engine.Storage;
using Microsoft.Extensions.Time.Testing;

namespace DistTune.Engine.Tests;

public sealed class HalfSentUploadsTests : IDisposable
{
    private static readonly EngineOptions Options = new() { LeaseDuration = TimeSpan.FromSeconds(10) };
    private readonly string _folder = Directory.CreateTempSubdirectory("disttune-half-").FullName;
    private readonly FakeTimeProvider _time = new();
    private readonly RunPlan _plan = FakePlan.Create(groups: 2, steps: 1, source: new FakePlan(2, 0, 0));
    private readonly RunStore _store;
    private readonly RunRegistry _registry;
    private readonly RunExecution _run;

    public HalfSentUploadsTests()
    {
        _store = RunStore.Open(new FolderStorage(_folder), _plan, FakePlan.Initial(_plan), new RunStoreOptions(), _time);
        _registry = new RunRegistry(Options, _time);
        _run = _registry.Add(_store, new RecordingObserver());
    }

    public void Dispose()
    {
        _registry.Dispose();
        _store.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void The_rest_comes_over_another_session_and_the_group_stays_its_workers()
    {
        var (grant, parts, outcome) = HalfSent();
        var again = Join("w");

        var answer = _registry.QueryUpload(again, GrantReference.To(grant));

        Assert.Equal(UploadState.Partial, answer.State);
        Assert.Equal([new FloatRange(parts[0].Offset, parts[0].Offset + parts[0].Values.Length)], answer.Received);
        Assert.Equal(1, Assert.Single(_registry.TryPull(again, 2).Grants).Key.Index);
        var reference = GrantReference.To(answer.Grant!);
        using var upload = _registry.ResumeUpload(again, reference).Upload!;
        Assert.Empty(_run.Run.Stage!.Done);
        Assert.All(parts.Skip(1), part => Assert.Null(upload.Write(part.Offset, part.Values)));
        Assert.Equal(SubmitStatus.Accepted, _registry.Submit(again, reference, outcome, upload, null).Status);
        Assert.Equal(UploadState.Done, _registry.QueryUpload(again, reference).State);
    }

    [Fact]
    public void What_nobody_comes_back_for_is_forgotten_after_a_lease()
    {
        var (grant, _, _) = HalfSent();
        _time.Advance(Options.LeaseDuration + TimeSpan.FromSeconds(2));
        var again = Join("w");

        var answer = _registry.QueryUpload(again, GrantReference.To(grant));

        Assert.Equal(UploadState.Unknown, answer.State);
        Assert.Equal(SubmitStatus.Unknown, _registry.ResumeUpload(again, GrantReference.To(answer.Grant!)).Refusal.Status);
    }

    [Fact]
    public void Another_worker_gets_nothing_of_it_and_a_step_that_is_over_wants_nothing_any_more()
    {
        var (grant, _, _) = HalfSent();
        var other = Join("other");

        Assert.Equal(UploadState.Unknown, _registry.QueryUpload(other, GrantReference.To(grant)).State);
        _registry.Leave(other, "gone");
        var last = Join("last");
        foreach (var open in _registry.TryPull(last, 2).Grants)
        {
            using var upload = _registry.BeginUpload(last, GrantReference.To(open)).Upload!;
            var outcome = FakeComputer.Compute(open.Group, _run.Adapter, _plan.Layout, (offset, part) => upload.Write(offset, part));
            Assert.Equal(SubmitStatus.Accepted, _registry.Submit(last, GrantReference.To(open), outcome, upload, null).Status);
        }

        _run.Advance();
        Assert.Equal(RunState.Finished, _run.Run.State);
        Assert.Equal(UploadState.Stale, _registry.QueryUpload(Join("w"), GrantReference.To(grant)).State);
    }

    // The first part has arrived, and the worker's connection is lost.
    private (Grant Grant, List<(long Offset, float[] Values)> Parts, GroupOutcome Outcome) HalfSent()
    {
        var worker = Join("w");
        _run.Advance();
        var grant = Assert.Single(_registry.TryPull(worker, 1).Grants);
        var parts = new List<(long Offset, float[] Values)>();
        var outcome = FakeComputer.Compute(grant.Group, _run.Adapter, _plan.Layout, (offset, part) => parts.Add((offset, part)));
        var upload = _registry.BeginUpload(worker, GrantReference.To(grant)).Upload!;
        Assert.Null(upload.Write(parts[0].Offset, parts[0].Values));
        _registry.KeepHalfSent(worker, GrantReference.To(grant), upload);
        _registry.Leave(worker, "its connection ended");
        return (grant, parts, outcome);
    }

    private WorkerSession Join(string name) => _registry.Register(name, 0, 2, FakePlan.Fingerprint());
}
