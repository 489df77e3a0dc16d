using DistTune.Engine.Storage;

namespace DistTune.Engine;

/// <content>Who may compute for the run: whoever comes to the same canary.</content>
public sealed partial class RunExecution
{
    /// <summary>Null, or why a worker would not compute what the run's other workers do.</summary>
    internal string? CanaryFault(WorkerFingerprint fingerprint)
    {
        var run = Run;
        if (run.Ended)
        {
            return null;
        }

        if (fingerprint.Canaries.GetValueOrDefault(Plan.RunId) is not { } digest)
        {
            return $"it has no canary of run {Plan.RunId}, which tells whether it computes what the others do. Start the worker anew, of this version.";
        }

        if (run.Canary is not { } reference || string.Equals(reference.Digest, digest, StringComparison.Ordinal))
        {
            return null;
        }

        var machine = fingerprint with { InstructionSet = reference.InstructionSet, ComputeLibrary = reference.ComputeLibrary };
        return $"its canary of run {Plan.RunId} is {Short(digest)}, that of worker {reference.Worker}, which the run began with, is {Short(reference.Digest)}; " +
            $"{fingerprint.DifferenceFrom(machine, bfloat16: true) ?? "instruction set and library are the same"}. " +
            $"Use workers of the kind the run began with. If {reference.Worker} is the odd one, start anew with --resume none; to go on with another kind, " +
            "whose adapter will be another, start from a snapshot in another output_dir.";
    }

    /// <summary>The first worker's canary is the run's, for good.</summary>
    internal void KeepCanary(string worker, WorkerFingerprint fingerprint)
    {
        try
        {
            lock (_gate)
            {
                if (_suspended is null && !_run.Ended && _run.Canary is null)
                {
                    Record(new CanarySet(fingerprint.Canaries[Plan.RunId], worker, fingerprint.InstructionSet, fingerprint.ComputeLibrary));
                }
            }
        }
        catch (RunStorageException fault)
        {
            Suspend(fault);
        }
    }

    private static string Short(string digest) => digest.Length > 12 ? digest[..12] : digest;
}
