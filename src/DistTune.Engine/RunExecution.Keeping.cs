using System.Collections.Immutable;
using DistTune.Core;
using DistTune.Core.Training;

namespace DistTune.Engine;

/// <content>A run on disk: going on after a restart, and snapshots.</content>
public sealed partial class RunExecution
{
    private TakenStep? _unkept;

    // A step that is taken, whose summed gradient is not in the redo log yet. Until it is, its groups' gradients stay in the spool.
    private sealed record TakenStep(int Step, float[] Sum, int Interval)
    {
        /// <summary>Where the sum comes from; null if it was read back.</summary>
        public ReductionTree? Reduction { get; init; }

        /// <summary>The results whose gradients are spooled for it by this coordinator.</summary>
        public IEnumerable<GroupDone>? Results { get; init; }
    }

    private void GoOn(float[]? unkept)
    {
        _unkept = unkept is null ? null : new TakenStep(_run.Steps.Count - 1, unkept, _run.LastSnapshot);
        _resumedAt = _run.Steps.Count;
        _started = _time.GetTimestamp();
        _announced = true;
        _events.Enqueue(new RunStarted(Plan.RunId, Plan.Steps, Plan.StepsPerEpoch, _workers().Count, Plan.Layout.ParameterCount) { ResumedAt = _resumedAt });
        if (_run.Stage is { } stage)
        {
            Reopen(stage);
        }
    }

    // What was acknowledged counts and is not computed again; the groups without a result are handed out anew.
    private void Reopen(OpenStage stage)
    {
        var groups = GroupsOf(stage);
        if (!groups.Select(GroupKey.Of).SequenceEqual(stage.Groups))
        {
            throw new DistTuneException(
                FaultKind.Configuration,
                $"The run was stopped in the middle of a measurement or step whose groups were others than the plan has now ({stage.Groups.Length}, now {groups.Length}). " +
                "Change the evaluation's settings back, or give the new run another output_dir.");
        }

        _work = new StageWork(groups, _paces, _time, _options);
        _reduction = stage.Kind == StageKind.Train ? new ReductionTree(groups.Length, _pool) : null;
        _span = EngineTelemetry.StartRoot(stage.Kind == StageKind.Train ? "train step" : "evaluate", Plan.RunId, stage.Step);
        foreach (var done in stage.Groups.Where(stage.Done.ContainsKey).Select(key => stage.Done[key]))
        {
            if (_reduction is { } reduction && !TryAddBack(reduction, done))
            {
                Record(new GroupReopened(done.Group, "its spooled gradient cannot be read any more"));
                continue;
            }

            _work.Find(done.Group)!.Done = true;
        }
    }

    private ImmutableArray<GroupSpec> GroupsOf(OpenStage stage) => stage.Kind == StageKind.Train
        ? Plan.Groups.TrainingGroups(stage.Step)
        : [.. Plan.Groups.EvaluationGroups(stage.Step), .. Plan.Groups.GenerationGroups(stage.Step)];

    // A step is durable when it is committed: its groups are in the spool. Their sum makes room there and a restart short.
    private void KeepTaken()
    {
        if (_store is null || _suspended is not null || _unkept is not { } taken)
        {
            return;
        }

        _store.KeepRedo(taken.Step, taken.Sum, taken.Interval);
        if (taken.Results is { } results)
        {
            _store.ForgetSpooled(results);
        }

        taken.Reduction?.Release();
        _unkept = null;
    }

    // Only a step changes what it writes, and steps are taken under the same lock.
    private void SnapshotIfDue()
    {
        if (_store is null || _suspended is not null || !_store.SnapshotDue(_run))
        {
            return;
        }

        var taken = _store.Snapshot(_run, _adapter, _optimizer);
        lock (_gate)
        {
            if (_run.Ended)
            {
                return;
            }

            Record(taken);
        }

        _store.ForgetOld();
    }
}
