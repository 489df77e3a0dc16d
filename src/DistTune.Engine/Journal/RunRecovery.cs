using System.Globalization;
using DistTune.Core;
using DistTune.Core.Training;

namespace DistTune.Engine.Journal;

/// <summary>Where a run begins or goes on: its state, and what that state says of adapter and optimizer, in memory.</summary>
internal sealed record RunStart(TrainingRun Run, AdapterVersion Adapter, AdapterOptimizer Optimizer)
{
    /// <summary>The last step's summed gradient, if nobody knows whether it is kept: the flush of its last write may have failed.</summary>
    public float[]? Unkept { get; init; }
}

/// <summary>What a run has on disk besides its journal.</summary>
internal sealed record RunPieces(SnapshotFolder Snapshots, RedoLog Redo, GradientSpool Spool);

/// <summary>
/// Brings back adapter and optimizer: the newest snapshot that verifies, then the optimizer steps since, taken again from the redo
/// gradients, the last one from what is spooled if its sum was not kept any more. The journal's hashes of adapter and optimizer tell
/// whether what came out is right; if it is not, every hash on the way tells where it went wrong.
/// </summary>
internal sealed class RunRecovery(RunPlan plan, AdapterVersion initial, RunPieces pieces, List<string> notices)
{
    private readonly float[] _gradient = new float[checked((int)plan.Layout.Length)];
    private readonly float[] _mean = new float[checked((int)plan.Layout.Length)];

    /// <exception cref="DistTuneException">No snapshot leads to the journal's last step; the message has the reason of each.</exception>
    public RunStart Rebuild(TrainingRun run)
    {
        var reasons = new List<string>();
        RestoreSum(run);
        foreach (var step in pieces.Snapshots.Steps.Where(step => step <= run.Steps.Count).Reverse().Append(0))
        {
            try
            {
                return Rebuild(step, run);
            }
            catch (DistTuneException fault) when (fault.Kind == FaultKind.InvalidFile)
            {
                // An older snapshot and more steps to take again come to the same.
                reasons.Add(fault.Message);
                notices.Add(fault.Message);
            }
        }

        throw new DistTuneException(
            FaultKind.InvalidFile,
            string.Create(CultureInfo.InvariantCulture, $"The run stands at step {run.Steps.Count}, but nothing on disk leads there: {string.Join(" ", reasons)} ") +
            "Put back a copy of the run's folder, or start anew with --resume none.");
    }

    private RunStart Rebuild(int step, TrainingRun run)
    {
        var snapshot = step > 0 ? pieces.Snapshots.Read(step, plan.Layout, plan.Optimizer) : null;
        return From(step, snapshot, run, checkEach: false) ?? From(step, snapshot, run, checkEach: true)!;
    }

    /// <returns>Null if nothing was checked on the way and what came out is wrong.</returns>
    private RunStart? From(int step, RunSnapshot? snapshot, TrainingRun run, bool checkEach)
    {
        var optimizer = new AdapterOptimizer(plan);
        var values = (snapshot?.Adapter ?? initial).Values.ToArray();
        if (snapshot is not null)
        {
            Require(snapshot.Adapter.Sha256, run.Steps[step - 1].AdapterSha256, step, "the snapshot's adapter");
            optimizer.Restore(step, snapshot.FirstMoment.Span, snapshot.SecondMoment.Span);
        }

        for (; step < run.Steps.Count; step++)
        {
            var committed = run.Steps[step];
            if (!pieces.Redo.TryRead(step, checkEach ? committed.GradientSha256 : null, _gradient))
            {
                return !checkEach ? null : throw new DistTuneException(FaultKind.InvalidFile, string.Create(
                    CultureInfo.InvariantCulture, $"The reduced gradient {Short(committed.GradientSha256)} of step {step} is not in the '{RedoLog.Folder}' folder."));
            }

            optimizer.Advance(step, values, _gradient, _mean, committed.TrainedTokens);
            if (checkEach)
            {
                Require(AdapterHash.Sha256(values), committed.AdapterSha256, step + 1, "the adapter");
                Require(optimizer.Sha256, committed.OptimizerSha256, step + 1, "the optimizer's state");
            }
        }

        var replayed = run.Steps.Count > (snapshot?.Step ?? 0);
        var adapter = AdapterHash.Version(values);
        var right = run.Steps is not [.., var last] || (adapter.Sha256 == last.AdapterSha256 && optimizer.Sha256 == last.OptimizerSha256);
        return right || checkEach ? new RunStart(run, adapter, optimizer) { Unkept = replayed && run.LastTaken is not null ? _gradient : null } : null;
    }

    // A coordinator that ended right after it had committed a step had not kept its sum yet, but all that it is made of.
    private void RestoreSum(TrainingRun run)
    {
        if (run is not { Steps: [.., var last], LastTaken: { } taken } || pieces.Redo.TryRead(last.Step, last.GradientSha256, _gradient))
        {
            return;
        }

        var pool = new BufferPool(plan.Layout);
        var tree = new ReductionTree(taken.Groups.Length, pool);
        foreach (var done in taken.Results)
        {
            var gradient = pool.Rent();
            Array.Clear(gradient);
            if (!done.Skipped && (done.Spool is not { } place || !pieces.Spool.TryRead(place, 0, gradient)))
            {
                return;
            }

            tree.Add(done.Group.Index, gradient);
        }

        if (AdapterHash.Sha256(tree.Root) == last.GradientSha256)
        {
            pieces.Redo.Keep(last.Step, tree.Root, run.LastSnapshot);
        }
    }

    private static void Require(string got, string expected, int step, string what)
    {
        if (!string.Equals(got, expected, StringComparison.Ordinal))
        {
            throw new DistTuneException(FaultKind.InvalidFile, string.Create(
                CultureInfo.InvariantCulture,
                $"After {step} steps {what} comes to {Short(got)}, the journal says {Short(expected)}: the optimizer of this build or machine computes other bits, or the folder was changed."));
        }
    }

    private static string Short(string hash) => hash.Length > 12 ? hash[..12] : hash;
}
