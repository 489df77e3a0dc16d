using System.Globalization;
using DistTune.Core;
using DistTune.Core.Training;

namespace DistTune.Engine.Journal;

/// <summary>Where a run begins or goes on: its state, and what that state says of adapter and optimizer, in memory.</summary>
internal sealed record RunStart(TrainingRun Run, AdapterVersion Adapter, AdapterOptimizer Optimizer);

/// <summary>
/// Brings back adapter and optimizer: the newest snapshot that verifies, then the optimizer steps since, taken again from the redo
/// gradients. Every hash that the journal has is checked on the way.
/// </summary>
internal sealed class RunRecovery(RunPlan plan, AdapterVersion initial, SnapshotFolder snapshots, RedoLog redo, List<string> notices)
{
    /// <exception cref="DistTuneException">No snapshot leads to the journal's last step; the message has the reason of each.</exception>
    public RunStart Rebuild(TrainingRun run)
    {
        var reasons = new List<string>();
        foreach (var step in snapshots.Steps.Where(step => step <= run.Steps.Count).Reverse().Append(0))
        {
            try
            {
                return From(step, run);
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

    private RunStart From(int step, TrainingRun run)
    {
        var optimizer = new AdapterOptimizer(plan);
        var adapter = initial;
        if (step > 0)
        {
            var snapshot = snapshots.Read(step, plan.Layout);
            adapter = snapshot.Adapter;
            Require(adapter.Sha256, run.Steps[step - 1].AdapterSha256, step, "the snapshot's adapter");
            optimizer.Restore(step, snapshot.FirstMoment.Span, snapshot.SecondMoment.Span);
        }

        var gradient = new float[checked((int)plan.Layout.Length)];
        for (; step < run.Steps.Count; step++)
        {
            var committed = run.Steps[step];
            if (!redo.TryRead(step, committed.GradientSha256, gradient))
            {
                throw new DistTuneException(FaultKind.InvalidFile, string.Create(
                    CultureInfo.InvariantCulture, $"The reduced gradient {Short(committed.GradientSha256)} of step {step} is not in the '{RedoLog.Folder}' folder."));
            }

            adapter = optimizer.Step(step, adapter, gradient, committed.TrainedTokens).Adapter;
            Require(adapter.Sha256, committed.AdapterSha256, step + 1, "the adapter");
        }

        return new RunStart(run, adapter, optimizer);
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
