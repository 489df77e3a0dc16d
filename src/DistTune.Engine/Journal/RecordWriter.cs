using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Diagnostics;
using System.Text;
using DistTune.Core.Training;

namespace DistTune.Engine.Journal;

/// <summary>Writes a record's payload: little-endian numbers, doubles by their bits, texts and lists after their length.</summary>
internal readonly struct RecordWriter(IBufferWriter<byte> output)
{
    public static RecordType TypeOf(RunRecord record) => record switch
    {
        RunOpened => RecordType.RunOpened,
        TermBegun => RecordType.TermBegun,
        StageOpened => RecordType.StageOpened,
        GroupDone => RecordType.GroupDone,
        GroupReopened => RecordType.GroupReopened,
        StepCommitted => RecordType.StepCommitted,
        MeasurementClosed => RecordType.MeasurementClosed,
        DeterminismViolated => RecordType.DeterminismViolated,
        SnapshotTaken => RecordType.SnapshotTaken,
        RunRestored => RecordType.RunRestored,
        RunFinished => RecordType.RunFinished,
        RunFailed => RecordType.RunFailed,
        WorkerQuarantined => RecordType.WorkerQuarantined,
        NonFiniteFound => RecordType.NonFiniteFound,
        CanarySet => RecordType.CanarySet,
        _ => throw new UnreachableException($"{record.GetType().Name} has no form in the journal."),
    };

    public void Write(RunRecord record)
    {
        switch (record)
        {
            case RunOpened opened:
                Texts(opened.RunId, opened.Hashes.Base, opened.Hashes.Tokenizer, opened.Hashes.Template, opened.Hashes.Data, opened.Hashes.Configuration, opened.AdapterSha256);
                Number(opened.Settings.Length);
                foreach (var (name, value) in opened.Settings)
                {
                    Texts(name, value);
                }

                Texts(opened.Launch);

                break;
            case TermBegun term:
                Number(term.Term);
                break;
            case StageOpened stage:
                Number((int)stage.Kind);
                Number(stage.Step);
                Texts(stage.AdapterSha256);
                Number(stage.Groups.Length);
                foreach (var group in stage.Groups)
                {
                    Key(group);
                }

                break;
            case GroupDone done:
                Key(done.Group);
                Number(done.Attempt);
                Texts(done.Worker, done.Digest);
                Outcome(done.Outcome);
                Number(done.Spool?.Term ?? 0);
                Number(done.Spool?.Offset ?? 0);
                Number(done.Skipped ? 1 : 0);
                break;
            case GroupReopened reopened:
                Key(reopened.Group);
                Texts(reopened.Reason);
                break;
            case StepCommitted step:
                Step(step);
                break;
            case MeasurementClosed measurement:
                Measurement(measurement);
                break;
            case DeterminismViolated violated:
                Key(violated.Group);
                Texts(violated.FirstWorker, violated.FirstDigest, violated.SecondWorker, violated.SecondDigest);
                break;
            case SnapshotTaken snapshot:
                Number(snapshot.Step);
                Texts(snapshot.ManifestSha256);
                break;
            case RunRestored restored:
                Texts(restored.Source);
                Number(restored.Steps.Length);
                foreach (var step in restored.Steps)
                {
                    Step(step);
                }

                Number(restored.Measurements.Length);
                foreach (var measurement in restored.Measurements)
                {
                    Measurement(measurement);
                }

                break;
            case RunFinished finished:
                Texts(finished.AdapterSha256);
                break;
            case RunFailed failed:
                Texts(failed.Reason);
                break;
            case WorkerQuarantined quarantined:
                Texts(quarantined.Worker, quarantined.Reason);
                break;
            case NonFiniteFound found:
                Key(found.Group);
                Texts(found.Worker, found.Digest, found.What);
                break;
            case CanarySet canary:
                Texts(canary.Digest, canary.Worker, canary.InstructionSet, canary.ComputeLibrary);
                break;
        }
    }

    private void Step(StepCommitted step)
    {
        Number(step.Step);
        Texts(step.GradientSha256, step.AdapterSha256, step.OptimizerSha256);
        Real(step.Loss);
        Real(step.GradientNorm);
        Real(step.LearningRate);
        Number(step.TrainedTokens);
        Number(step.TotalTokens);
    }

    private void Measurement(MeasurementClosed measurement)
    {
        Number(measurement.Step);
        Number(measurement.Loss is null ? 0 : 1);
        Real(measurement.Loss ?? 0);
        Number(measurement.TrainedTokens);
        Continuations(measurement.Continuations);
    }

    private void Outcome(GroupOutcome outcome)
    {
        Real(outcome.LossSum);
        Number(outcome.TrainedTokens);
        Number(outcome.TotalTokens);
        Continuations(outcome.Continuations);
        Real(outcome.Timings.ForwardSeconds);
        Real(outcome.Timings.BackwardSeconds);
        Real(outcome.Timings.UploadSeconds);
    }

    private void Continuations(ImmutableArray<ImmutableArray<int>> continuations)
    {
        Number(continuations.Length);
        foreach (var continuation in continuations)
        {
            Number(continuation.Length);
            foreach (var token in continuation)
            {
                Number(token);
            }
        }
    }

    private void Key(GroupKey group)
    {
        Number(group.Step);
        Number((int)group.Kind);
        Number(group.Index);
    }

    private void Texts(params ReadOnlySpan<string> texts)
    {
        foreach (var text in texts)
        {
            Number(Encoding.UTF8.GetByteCount(text));
            output.Advance(Encoding.UTF8.GetBytes(text, output.GetSpan(Encoding.UTF8.GetMaxByteCount(text.Length))));
        }
    }

    private void Real(double value) => Number(BitConverter.DoubleToInt64Bits(value));

    private void Number(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(output.GetSpan(sizeof(long)), value);
        output.Advance(sizeof(long));
    }
}
